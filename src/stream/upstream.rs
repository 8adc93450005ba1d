//! The provider and the model of a request.

use std::rc::Rc;

use crate::policy::Provider;

/// Who serves a request, and by which name the model is known there.
pub struct Upstream<'a> {
    /// Who serves it.
    pub provider: &'a Rc<Provider>,
    /// The model's name there, if one is known.
    pub model: Option<&'a str>,
}
