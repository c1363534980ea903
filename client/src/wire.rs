//! Particulars (`a{sv}`) between the bus and [`Detail`].

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

use crate::{
    Printable,
    snapshot::{Detail, Details},
};

/// Reads particulars off the bus; a value of a type that is not one of [`Detail`]'s becomes text.
pub fn details(raw: &HashMap<String, OwnedVariant>) -> Details {
    raw.iter()
        .map(|(key, value)| (key.into(), detail(value)))
        .collect()
}

/// One particular off the bus.
pub fn detail(value: &Variant<'_>) -> Detail {
    match value {
        Variant::Variant(inner) => detail(inner),
        Variant::Bool(value) => Detail::Bool(*value),
        Variant::U8(value) => Detail::Uint((*value).into()),
        Variant::U16(value) => Detail::Uint((*value).into()),
        Variant::U32(value) => Detail::Uint((*value).into()),
        Variant::U64(value) => Detail::Uint(*value),
        Variant::I16(value) => signed((*value).into()),
        Variant::I32(value) => signed((*value).into()),
        Variant::I64(value) => signed(*value),
        Variant::F64(value) => Detail::Float(*value),
        Variant::Str(text) => text.as_str().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Array(array) => Detail::List(array.iter().map(|item| plain(item)).collect()),
        other => other.to_string().into(),
    }
}

/// Particulars as they go on the bus.
pub fn variants(details: &Details) -> HashMap<String, Variant<'_>> {
    details
        .iter()
        .map(|(key, value)| (key.to_string(), variant(value)))
        .collect()
}

/// One particular as it goes on the bus: `b`, `t`, `d`, `s` or `as`.
pub fn variant(detail: &Detail) -> Variant<'_> {
    match detail {
        Detail::Bool(value) => Variant::Bool(*value),
        Detail::Uint(value) => Variant::U64(*value),
        Detail::Float(value) => Variant::F64(*value),
        Detail::Text(text) => text.into(),
        Detail::List(items) => items.as_slice().into(),
    }
}

fn signed(value: i64) -> Detail {
    u64::try_from(value).map_or(Detail::Float(value as f64), Detail::Uint)
}

fn plain(value: &Variant<'_>) -> Printable {
    detail(value).to_string().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_detail() -> impl Strategy<Value = Detail> {
        prop_oneof![
            any::<bool>().prop_map(Detail::Bool),
            any::<u64>().prop_map(Detail::Uint),
            (-1e300..1e300f64).prop_map(Detail::Float),
            ".*".prop_map(Detail::from),
            prop::collection::vec(".*", 0..4).prop_map(Detail::from),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_on_the_bus_comes_back(value in any_detail()) {
            prop_assert_eq!(detail(&variant(&value)), value);
        }
    }

    #[test]
    fn a_value_of_another_type_is_kept_as_text_or_number() {
        assert_eq!(detail(&Variant::I32(-3)), Detail::Float(-3.0));
        assert_eq!(
            detail(&Variant::new(("a", 1u32))),
            Detail::Text("(\"a\", uint32 1)".into())
        );
    }
}
