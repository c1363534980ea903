// A component of Quickshell's
import QtQuick
import Quickshell.Io

Text {
    property var offload: ({})
    text: offload.text ?? ""
    Process {
        running: true
        command: ["offloadctl", "bar", "--format", "json"]
        stdout: SplitParser { onRead: line => offload = JSON.parse(line) }
    }
}
