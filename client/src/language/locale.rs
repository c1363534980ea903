//! Which language a locale asks for.

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    /// Brazil's.
    Portuguese,
}

impl Language {
    /// As gettext chooses (its manual, "Locale Environment Variables" and "The LANGUAGE variable"), but that English is
    /// found where it is asked for, and that a terminal of other characters than UTF-8's gets English.
    pub(super) fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let first = |of: &str| ["LC_ALL", of, "LANG"].into_iter().find_map(set);
        let is_plain = |locale: &str| {
            let name = locale.split('.').next().unwrap_or_default();
            matches!(name, "C" | "POSIX")
        };
        let Some(locale) = first("LC_MESSAGES").filter(|locale| !is_plain(locale)) else {
            return Self::English;
        };
        if !first("LC_CTYPE").is_some_and(|locale| is_utf8(&locale)) {
            return Self::English;
        }
        let wanted = set("LANGUAGE").unwrap_or(locale);
        wanted
            .split(':')
            .find_map(Self::named)
            .unwrap_or(Self::English)
    }

    /// By the name of a locale: `pt_BR.UTF-8`, `pt`, `en_GB`.
    fn named(locale: &str) -> Option<Self> {
        let name = locale.split(['.', '@']).next().unwrap_or_default();
        match name {
            "pt_BR" | "pt" => Some(Self::Portuguese),
            "C" | "POSIX" | "en" => Some(Self::English),
            name if name.starts_with("en_") => Some(Self::English),
            _ => None,
        }
    }
}

/// Whether a locale's characters are UTF-8's; where it does not say, they are wherever it is in use today.
fn is_utf8(locale: &str) -> bool {
    let name = locale.split('@').next().unwrap_or_default();
    match name.split_once('.') {
        Some((_, characters)) => characters.replace('-', "").eq_ignore_ascii_case("utf8"),
        None => !matches!(name, "C" | "POSIX"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(variables: &[(&str, &str)]) -> Language {
        Language::of(&|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_locale_of_messages_is_found_where_posix_says() {
        for variables in [
            &[("LANG", "pt_BR.UTF-8")][..],
            &[("LANG", "de_DE.UTF-8"), ("LC_MESSAGES", "pt_BR.utf8")],
            &[("LC_MESSAGES", "en_US.UTF-8"), ("LC_ALL", "pt_BR.UTF-8")],
            &[("LC_ALL", ""), ("LANG", "pt_BR")],
            &[("LANG", "en_US.UTF-8"), ("LANGUAGE", "pt_BR:pt:en")],
            &[("LANG", "fr_FR.UTF-8"), ("LANGUAGE", "fr:pt:en")],
        ] {
            assert_eq!(spoken(variables), Language::Portuguese, "{variables:?}");
        }
    }

    #[test]
    fn everybody_else_has_english() {
        for variables in [
            &[][..],
            &[("LANG", "en_US.UTF-8")],
            &[("LANG", "pt_PT.UTF-8")],
            &[("LANG", "pt_BR.UTF-8"), ("LC_MESSAGES", "C")],
            &[("LANG", "pt_BR.UTF-8"), ("LC_ALL", "C.UTF-8")],
            &[("LANG", "pt_BR.UTF-8"), ("LANGUAGE", "en_US:pt_BR")],
            &[("LANG", "pt_BR.UTF-8"), ("LANGUAGE", "de:fr")],
            &[("LANGUAGE", "pt_BR")],
            &[("LC_ALL", "POSIX"), ("LANGUAGE", "pt_BR")],
        ] {
            assert_eq!(spoken(variables), Language::English, "{variables:?}");
        }
    }

    #[test]
    fn a_terminal_that_has_no_accents_has_english() {
        for variables in [
            &[("LC_CTYPE", "C"), ("LANG", "pt_BR.UTF-8")][..],
            &[("LANG", "pt_BR.ISO-8859-1")],
        ] {
            assert_eq!(spoken(variables), Language::English, "{variables:?}");
        }
    }
}
