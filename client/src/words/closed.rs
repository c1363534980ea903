//! What makes a vocabulary of an enum. Its first word is the neutral one.

macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $(#[$neutral_meta:meta])* $neutral:ident = $neutral_word:literal,
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[$neutral_meta])*
            #[default]
            $neutral,
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// Every word of this vocabulary, in order.
            pub const ALL: &'static [Self] = &[Self::$neutral, $(Self::$variant,)*];

            /// The word as it stands on the bus.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$neutral => $neutral_word,
                    $(Self::$variant => $word,)*
                }
            }

            /// Reads a word; one that is not known becomes the neutral word.
            pub fn from_word(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    _ => Self::$neutral,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                // Not closed: a newer daemon has more words.
                schemars::json_schema!({
                    "type": "string",
                    "examples": [$neutral_word, $($word,)*],
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer).map(|word| Self::from_word(&word))
            }
        }
    };
}
pub(crate) use words;
