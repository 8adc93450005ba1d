//! The WebSocket wire (RFC 6455), seen from between two peers.
//!
//! A proxy filter watches the bytes of a connection pass. [`Follower`] keeps track of one direction: it reads frame headers
//! and the first bytes of each message, steps over the payloads that nobody asked for, and hands over those that somebody
//! did in pieces. What it finds are [`Event`]s. Bytes pass as they come, but for a message that is withheld until somebody
//! says what is to become of it; what becomes of a read then is a [`Rewrite`]. [`CloseFrame`], [`text_frame`] and [`pong_frame`] make the
//! bytes that a filter puts between two messages, or in the place of some.
//!
//! Nothing here knows what a message means, and nothing here does I/O: bytes come from a
//! [`ReadBuffer`].

pub mod close;
pub mod close_code;
pub mod encode;
pub mod error;
pub mod event;
pub mod followed_read;
pub mod follower;
pub mod frame;
pub mod mask;
pub mod read_buffer;
pub mod rewrite;
mod withheld;

pub use close::CloseFrame;
pub use close_code::CloseCode;
pub use encode::{masked_text_frame, message_frame, pong_frame, text_frame};
pub use error::ProtocolError;
pub use event::{Counts, Event, Interest};
pub use followed_read::FollowedRead;
pub use follower::Follower;
pub use frame::{FrameHeader, OpCode, Sender};
pub use read_buffer::ReadBuffer;
pub use rewrite::Rewrite;
