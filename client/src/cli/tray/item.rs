//! `org.kde.StatusNotifierItem`, as <https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/> has it and trays read it.

use zbus::{ObjectPath, interface, object_server::SignalEmitter};

use super::{Action, Face, icon, icon::Pixmap, menu};

pub(super) const PATH: &str = "/StatusNotifierItem";

pub(super) struct Item(pub(super) Face);

#[interface(name = "org.kde.StatusNotifierItem", introspection_docs = false)]
impl Item {
    /// A click does what it does on a bar.
    fn activate(&self, _x: i32, _y: i32) {
        self.0.ask(Action::Check);
    }

    fn secondary_activate(&self, _x: i32, _y: i32) {}

    /// The tray shows the menu itself.
    fn context_menu(&self, _x: i32, _y: i32) {}

    fn scroll(&self, _delta: i32, _orientation: String) {}

    #[zbus(property(emits_changed_signal = "const"))]
    fn category(&self) -> String {
        "SystemServices".to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        "offloadd".to_owned()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn title(&self) -> String {
        self.0.shown.borrow().title.clone()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn status(&self) -> String {
        self.0.shown.borrow().status().to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn window_id(&self) -> i32 {
        0
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn icon_theme_path(&self) -> String {
        String::new()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn icon_name(&self) -> String {
        icon::name(self.0.shown.borrow().state).to_owned()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn icon_pixmap(&self) -> Vec<Pixmap> {
        icon::pixmaps(self.0.shown.borrow().state)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn overlay_icon_name(&self) -> String {
        String::new()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn overlay_icon_pixmap(&self) -> Vec<Pixmap> {
        Vec::new()
    }

    /// What stands in the icon's place while it calls.
    #[zbus(property(emits_changed_signal = "false"))]
    fn attention_icon_name(&self) -> String {
        self.icon_name()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn attention_icon_pixmap(&self) -> Vec<Pixmap> {
        self.icon_pixmap()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn attention_movie_name(&self) -> String {
        String::new()
    }

    /// Icon, title and text. Of both some trays make markup.
    #[zbus(property(emits_changed_signal = "false"))]
    fn tool_tip(&self) -> (String, Vec<Pixmap>, String, String) {
        let shown = self.0.shown.borrow();
        let (title, text) = (shown.title.clone(), shown.tooltip.clone());
        (String::new(), Vec::new(), title, text)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn item_is_menu(&self) -> bool {
        false
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn menu(&self) -> ObjectPath<'static> {
        ObjectPath::from_static_str_unchecked(menu::PATH)
    }

    #[zbus(signal)]
    pub(super) async fn new_title(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn new_icon(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn new_attention_icon(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn new_tool_tip(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn new_status(emitter: &SignalEmitter<'_>, status: &str) -> zbus::Result<()>;
}
