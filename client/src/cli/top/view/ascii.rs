//! For a terminal that has no other characters.

use ratatui::buffer::Buffer;

/// Writes each sign as one that every terminal has.
pub(super) fn write(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let sign = sign(cell.symbol());
            cell.set_symbol(sign);
        }
    }
}

fn sign(symbol: &str) -> &'static str {
    match symbol {
        "✔" => "+",
        "▲" => "!",
        "✗" => "x",
        "◌" => "o",
        "‖" => "=",
        "─" | "·" => "-",
        "→" | "▸" => ">",
        "…" => ".",
        "↑" | "↓" => "|",
        "▁" | "▂" => "_",
        "▃" | "▄" => "-",
        "▅" | "▆" => "=",
        "▇" | "█" => "#",
        _ => "?",
    }
}
