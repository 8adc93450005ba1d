//! Envoy's names of statistics.
//!
//! A name carries its labels in front of what is measured, as those of Istio do:
//! `realtime_byok.caller=.=web-app;.;model=.=gpt-4.1;.;cost_micro_usd_total`. The `stats_tags` of the shipped Envoy
//! configurations take them out again, so that Prometheus sees `realtime_byok_cost_micro_usd_total` with the labels
//! `caller` and `model`, whose values may hold dots.

use realtime_byok::metrics::label_value;

/// How long most names are at most, in bytes.
const USUAL_NAME: usize = 128;

/// Envoy's name of what is measured, with labels.
pub(crate) fn statistic_name(measured: &str, labels: &[(&'static str, String)]) -> String {
    let mut name = String::with_capacity(USUAL_NAME);
    name.push_str("realtime_byok.");
    for (label, value) in labels {
        name.push_str(label);
        name.push_str("=.=");
        name.push_str(&label_value(value));
        name.push_str(";.;");
    }
    name.push_str(measured);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_labels_in_front() {
        let labels = [("provider", "azure-eu".to_owned()), ("credential", "key".to_owned())];
        let want = "realtime_byok.provider=.=azure-eu;.;credential=.=key;.;upstream_rejected_total";
        assert_eq!(statistic_name("upstream_rejected_total", &labels), want);
    }

    #[test]
    fn no_value_ends_its_label() {
        let labels = [("caller", "a;.;caller=.=b\n".to_owned()), ("model", "m;.;".to_owned())];
        let want = "realtime_byok.caller=.=a_._caller=.=b_;.;model=.=m_._;.;cost_micro_usd_total";
        assert_eq!(statistic_name("cost_micro_usd_total", &labels), want);
    }
}
