# The practice program: it is made from the same sources as what is installed, and installed by nobody.
{
  offloadd,
}:
offloadd.overrideAttrs (before: {
  pname = "offloadd-practice";

  cargoBuildFlags = [
    "--package=offload-tests"
    "--bin=practice"
  ];
  installPhase = ''
    runHook preInstall
    install -D --target-directory="$out/bin" target/*/release/practice
    runHook postInstall
  '';

  # It has no version of its own to tell.
  doInstallCheck = false;

  meta = before.meta // {
    description = "A practice desktop that misbehaves when told to, and the daemon that watches it";
    mainProgram = "practice";
  };
})
