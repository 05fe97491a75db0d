//! Promises of the proxy's rules that need more than one module.

mod blocked;
mod hold;
mod narrow;
mod price;
mod stream;

use proptest::prelude::*;

/// JSON in which members with these names stand anywhere, some of them twice.
pub(super) fn json_with(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null"),
        Just("7"),
        Just("-1"),
        Just("\"\""),
        Just("\"ab\""),
        Just("\"a\\n\\u00e4\""),
        Just("\"\\ud800\""),
        Just("true")
    ];
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 5, move |inner| {
        let member = (prop::sample::select(names), inner.clone());
        let member = member.prop_map(|(name, value)| format!("\"{name}\": {value}"));
        prop_oneof![
            3 => prop::collection::vec(member, 0..5)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => prop::collection::vec(inner, 0..3)
                .prop_map(|elements| format!("[{}]", elements.join(" ,"))),
        ]
    })
}
