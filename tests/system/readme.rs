//! The documentation, followed to the letter by somebody with a Debian laptop whose Nix has a desktop: the commands are
//! pasted out of it.

use offload_tests::{container::Suite, eventually, package::package, supported};

use crate::desk::{Desk, PATIENCE};

const README: &str = include_str!("../../README.md");
const FLEET: &str = include_str!("../../docs/fleet/README.md");
/// What a person without curl does.
const READ: &str =
    "exec 3<> /dev/tcp/127.0.0.1/9559; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";

/// The blocks of code in `language` below a heading.
fn blocks<'a>(text: &'a str, heading: &str, language: &str) -> Vec<&'a str> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```").skip(1).step_by(2);
    blocks
        .filter_map(|block| block.strip_prefix(language))
        .collect()
}

#[tokio::test]
async fn who_follows_the_documentation_has_a_green_page_and_figures() {
    let suite = Suite::from_environment();
    let Some(package) = supported(package(1).await) else {
        return;
    };
    let Some(desk) = Desk::bare(suite).await else {
        return;
    };
    let commands = blocks(README, "On Debian 13 or newer", "sh\n")[0];
    let [tool, install, show] = commands.lines().collect::<Vec<_>>()[..] else {
        panic!("{commands}");
    };
    // These two were done where there is a compiler: what tests/run does makes the package.
    assert!(tool.starts_with("cargo install cargo-deb "), "{tool}");
    let (make, install) = install.split_once(" && sudo ").unwrap();
    assert_eq!(make, "make deb");

    let laptop = desk.laptop.container();
    let name = package.file_name().unwrap().to_str().unwrap();
    desk.run(&["mkdir", "-p", "/root/target/debian"]);
    std::fs::copy(
        &package,
        laptop.path(&format!("/root/target/debian/{name}")),
    )
    .unwrap();
    let installed = desk.run(&["sh", "-c", &format!("cd /root && {install}")]);
    eprintln!("$ {install}\n{installed}");
    let page = desk.laptop.user(&[show]).unwrap();
    eprintln!("$ {show}\n{}{}", page.stdout, page.stderr);
    assert_eq!(page.code, 0, "{page:?}");
    assert!(page.stdout.contains("ready: Nix can use"), "{page:?}");

    for (number, block) in blocks(FLEET, "Figures", "toml\n").into_iter().enumerate() {
        let drop_in = format!("/etc/offloadd/config.d/6{number}-fleet.toml");
        laptop.write(&drop_in, block).unwrap();
    }
    let hold = blocks(FLEET, "Figures", "sh\n")[1];
    desk.run(&["sh", "-c", hold]);
    let ready = "offloadd_state{state=\"ready\"} 1.0\n";
    eventually(PATIENCE, "both have what is true", async || {
        let page = desk.run(&["bash", "-c", READ]);
        let file = desk
            .laptop
            .user(&["cat", "/run/offloadd/offloadd.prom"])
            .ok()?;
        (page.contains(ready) && file.stdout.contains(ready)).then_some(())
    })
    .await
    .unwrap();
    // While offloadd is not there; systemd has the address.
    desk.run(&["systemctl", "kill", "--signal=KILL", "offloadd.service"]);
    assert!(
        desk.run(&["bash", "-c", READ])
            .contains("offloadd_build_info")
    );
}
