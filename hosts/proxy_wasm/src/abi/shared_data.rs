//! Envoy's shared data.

use realtime_byok::process::{CasMismatch, Entry, SharedData};

use super::{Status, set_shared_data, shared_data};

/// Envoy's shared data, one for all VMs of the same `vm_id`.
pub(crate) struct EnvoySharedData;

impl SharedData for EnvoySharedData {
    fn read(&self, key: &str) -> Entry {
        shared_data(key).map_or_else(Entry::absent, |(bytes, cas)| Entry { bytes, cas })
    }

    fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch> {
        set_shared_data(key, bytes, cas).map_err(|_: Status| CasMismatch)
    }
}
