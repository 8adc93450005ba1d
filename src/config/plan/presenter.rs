//! An instance in front of others: its one setting, and that there is none beside it.

use super::Builder;
use crate::config::{Path, raw};
use crate::credential::{Presenter, Strip};

/// Where clients put credentials, beside the gateway's own header.
const SLOTS: [&str; 5] = ["authorization", "api-key", "api_key", "x-api-key", "x-goog-api-key"];

impl Builder<'_> {
    pub(super) fn presenter(&mut self, path: &Path, raw: &raw::Present) -> Presenter {
        for name in &self.declared.beside_present {
            let message =
                "stands beside present, which is all that the configuration of an instance in front has; remove it";
            self.reader.errors.add(&Path::default().key(name), message);
        }
        let gateway = self.gateway(&Path::default().key("gateway"), &raw::Gateway::default());
        let (path, header) = (path.key("header"), raw.header.to_ascii_lowercase());
        if *header == *gateway.header || SLOTS.contains(&&*header) {
            self.error(
                &path,
                format!("{header} is where clients put it; expected a name of its own such as x-gateway-token"),
            );
        } else {
            self.free_header_name(&path, &header);
        }
        Presenter { gateway, strip: Strip { headers: Vec::new(), params: Vec::new() }, header: header.into() }
    }
}
