#!/usr/bin/gjs
// A widget with GJS, as a GNOME Shell extension would have it: what is wrong and what to do, at each change. It does not poll.

const { Gio, GLib } = imports.gi;
const decode = bytes => imports.byteArray.toString(bytes);

const NAME = 'org.offloadd.Offload1';
const ROOT = '/org/offloadd/Offload1';
// A widget starts no daemon.
const FLAGS = Gio.DBusProxyFlags.DO_NOT_AUTO_START;

let shown = null;

// On the bus there are codes; the words for them are offloadctl's. It starts no daemon either.
function show() {
    const [, line] = GLib.spawn_command_line_sync('offloadctl bar --format json --once');
    const now = JSON.parse(decode(line));
    const lines = [now.state].concat([now.title, now.remedy].filter(it => it).map(it => `  ${it}`));
    const text = lines.join('\n');
    if (text !== shown)
        print(text);
    shown = text;
}

const proxy = Gio.DBusProxy.new_for_bus_sync(Gio.BusType.SYSTEM, FLAGS, null, NAME, ROOT, `${NAME}.Manager`, null);
proxy.connect('g-properties-changed', show);
proxy.connect('notify::g-name-owner', show);
show();
new GLib.MainLoop(null, false).run();
