//! Envoy's buffers of bodies and reads.

use proxy_wasm::types::BufferType;
use realtime_byok::ws::ReadBuffer;

use super::{Status, buffer, set_buffer};

/// What has come of a body, or one read of a WebSocket, in Envoy's buffer.
pub(crate) struct Body {
    /// Which way it goes.
    buffer: BufferType,
    /// How many bytes it holds.
    size: usize,
}

impl ReadBuffer for &Body {
    fn size(&self) -> usize {
        self.size
    }

    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
        buffer(self.buffer, offset, length).ok()
    }
}

impl Body {
    /// What has come of a request.
    pub(crate) fn request(size: usize) -> Self {
        Self { buffer: BufferType::HttpRequestBody, size }
    }

    /// What has come of a response.
    pub(crate) fn response(size: usize) -> Self {
        Self { buffer: BufferType::HttpResponseBody, size }
    }

    /// Puts `bytes` in the place of what it holds from an offset on. Envoy replaces all of a buffer or nothing of it.
    pub(crate) fn replace(&self, from: usize, bytes: &[u8]) -> Result<(), Status> {
        if from == 0 {
            return set_buffer(self.buffer, 0, self.size, bytes);
        }
        let kept = buffer(self.buffer, 0, from)?;
        set_buffer(self.buffer, 0, self.size, &[kept.as_slice(), bytes].concat())
    }
}
