//! How each bar wants it.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::line::{Line, Urgency};

/// A bar, or a program that reads lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    // Not doc comments: clap would spread them over the help of every command.
    Waybar,
    I3statusRust,
    I3blocks,
    Polybar,
    Genmon,
    Tmux,
    Json,
    Plain,
}

impl Format {
    /// Whether the bar starts it anew each time.
    pub(super) fn is_asked_again(self) -> bool {
        self == Self::Genmon
    }

    /// The line, or with genmon the lines, with their end.
    pub(super) fn write(self, line: &Line) -> String {
        let text = match self {
            Self::Waybar => waybar(line).to_string(),
            Self::I3statusRust => i3status_rust(line).to_string(),
            Self::I3blocks => i3blocks(line).to_string(),
            // What polybar takes for a tag.
            Self::Polybar => line.full().replace("%{", "% {"),
            Self::Genmon => genmon(line),
            Self::Tmux => line.full().replace('#', "##"),
            Self::Json => document(line).to_string(),
            Self::Plain => line.full(),
        };
        text + "\n"
    }
}

/// waybar-custom(5), `return-type: json`. Text and tooltip are Pango's markup.
fn waybar(line: &Line) -> Value {
    json!({
        "text": pango(&line.full()),
        "alt": line.state,
        "tooltip": pango(&line.tooltip.join("\n")),
        "class": line.state,
    })
}

/// The block `custom` with `json = true`, which escapes what it shows.
fn i3status_rust(line: &Line) -> Value {
    let state = match line.urgency {
        Urgency::Idle => "Idle",
        Urgency::Good => "Good",
        Urgency::Warning => "Warning",
        Urgency::Critical => "Critical",
    };
    json!({
        "icon": "",
        "state": state,
        "text": line.full(),
        "short_text": line.glyph,
    })
}

/// `format=json`: a block of the i3bar protocol, plain text unless it says otherwise.
fn i3blocks(line: &Line) -> Value {
    let colour = match line.urgency {
        Urgency::Idle | Urgency::Good => None,
        Urgency::Warning => Some("#e5c07b"),
        Urgency::Critical => Some("#e06c75"),
    };
    let mut block = json!({
        "full_text": line.full(),
        "short_text": line.glyph,
    });
    if let (Some(colour), Some(fields)) = (colour, block.as_object_mut()) {
        fields.insert("color".to_owned(), colour.into());
    }
    block
}

/// xfce4-genmon-plugin: tags, all of their texts Pango's markup. A click checks.
fn genmon(line: &Line) -> String {
    format!(
        "<txt>{}</txt>\n<tool>{}</tool>\n<txtclick>offloadctl check</txtclick>",
        pango(&line.full()),
        pango(&line.tooltip.join("\n"))
    )
}

/// For eww, Quickshell and whoever reads JSON.
fn document(line: &Line) -> Value {
    json!({
        "state": line.state,
        "glyph": line.glyph,
        "text": line.full(),
        "title": line.title,
        "remedy": line.remedy,
        "tooltip": line.tooltip.join("\n"),
    })
}

/// `text` where markup is read.
pub(in crate::cli) fn pango(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            state: "offline",
            urgency: Urgency::Critical,
            glyph: "✗",
            text: "a<b> & %{F#f00}".to_owned(),
            title: "refused".to_owned(),
            remedy: "mend `it`".to_owned(),
            tooltip: vec!["one <1>".to_owned(), "two".to_owned()],
        }
    }

    fn read(format: Format) -> Value {
        let written = format.write(&line());
        assert_eq!(written.matches('\n').count(), 1, "{written}");
        serde_json::from_str(&written).unwrap()
    }

    #[test]
    fn waybar_gets_markup_on_one_line() {
        let block = read(Format::Waybar);
        assert_eq!(block["text"], "✗ a&lt;b&gt; &amp; %{F#f00}");
        assert_eq!(block["tooltip"], "one &lt;1&gt;\ntwo");
        assert_eq!(
            (&block["alt"], &block["class"]),
            (&"offline".into(), &"offline".into())
        );
    }

    #[test]
    fn i3_s_bars_get_their_states_and_colours() {
        let block = read(Format::I3statusRust);
        assert_eq!(
            (&block["state"], &block["icon"]),
            (&"Critical".into(), &"".into())
        );
        assert_eq!(block["text"], "✗ a<b> & %{F#f00}");
        let block = read(Format::I3blocks);
        assert_eq!(
            (&block["short_text"], &block["color"]),
            (&"✗".into(), &"#e06c75".into())
        );
        let mut well = line();
        well.urgency = Urgency::Good;
        assert!(!Format::I3blocks.write(&well).contains("color"));
    }

    #[test]
    fn tags_and_formats_are_no_bar_s_to_obey() {
        assert_eq!(Format::Polybar.write(&line()), "✗ a<b> & % {F#f00}\n");
        assert_eq!(Format::Tmux.write(&line()), "✗ a<b> & %{F##f00}\n");
        let genmon = Format::Genmon.write(&line());
        assert!(genmon.starts_with(
            "<txt>✗ a&lt;b&gt; &amp; %{F#f00}</txt>\n<tool>one &lt;1&gt;\ntwo</tool>\n"
        ));
        assert_eq!(Format::Plain.write(&line()), "✗ a<b> & %{F#f00}\n");
        assert_eq!(read(Format::Json)["remedy"], "mend `it`");
    }
}
