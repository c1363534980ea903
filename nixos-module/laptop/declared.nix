# What nix.buildMachines and nix.settings say, as [[builder]] and [[cache]] entries: offloadd compares
# them with what Nix's files, the running nix-daemon and the desktop itself say.
{ lib }:
let
  inherit (lib)
    concatMap
    elem
    filter
    head
    optionalAttrs
    optionalString
    unique
    ;

  # The entry that somebody wrote, completed with what Nix's options say of the same target, then
  # those of Nix's options that nobody wrote an entry for.
  joined =
    {
      own,
      found,
      isAbout,
      complete,
    }:
    let
      about = entry: filter (isAbout entry) found;
      completed = map (
        entry:
        let
          matches = about entry;
        in
        if matches == [ ] then entry else complete (head matches) entry
      ) own;
      left = filter (item: !lib.any (entry: isAbout entry item) own) found;
      taken = map (entry: entry.name) own;
    in
    map compact completed ++ map (item: compact item.entry) (named taken left);

  # Each gets a name that nobody has: its host, or that with a number behind it.
  named =
    taken: items:
    lib.foldl' (
      done: item:
      let
        all = taken ++ map (known: known.entry.name) done;
        numbers = map toString (lib.range 2 (lib.length all + 2));
        possible = [ item.host ] ++ map (number: "${item.host}-${number}") numbers;
        numbered = lib.findFirst (name: !elem name all) null possible;
      in
      done ++ [ (item // { entry = item.entry // { name = numbered; }; }) ]
    ) [ ] items;

  compact = lib.filterAttrs (_: value: value != null && value != [ ]);

  # Whether an entry names the host as its own name or among its addresses.
  names =
    entry: host:
    let
      isHost = text: lib.toLower text == lib.toLower host;
      withoutPort =
        address:
        let
          split = builtins.match "([[][^]]+[]]|[^:]+):[0-9]+" address;
        in
        if split == null then address else head split;
    in
    isHost entry.name || lib.any (address: isHost (withoutPort address)) (entry.addresses or [ ]);

  # As NixOS writes /etc/nix/machines, and as Nix completes what has no scheme
  # (src/libstore/machines.cc).
  machineUri =
    machine:
    let
      scheme = if machine.protocol == null then null else "${machine.protocol}://";
      user = optionalString (machine.sshUser != null) "${machine.sshUser}@";
      isWord = elem machine.hostName [
        "auto"
        "daemon"
        "local"
      ];
    in
    if scheme != null then
      "${scheme}${user}${machine.hostName}"
    else if lib.hasInfix "://" machine.hostName || isWord then
      "${user}${machine.hostName}"
    else
      "ssh://${user}${machine.hostName}";

  # Two that differ in nothing but the host are one desktop before and after a move.
  differInHost =
    own: other: own.rest == other.rest && (own.user == null || own.user == other.user);

  parseMachine =
    uri:
    let
      # An IPv6 address may have its brackets or not.
      part = "[0-9a-fA-F:.]*";
      host = "[[][^]]+[]]|[^]:/?[]+|${part}:${part}:${part}";
      parts = builtins.match "(ssh|ssh-ng)://([^@/?]*@)?(${host})(:[0-9]+)?([?].*)?" uri;
      at = lib.elemAt parts;
    in
    # Nix builds for this one by itself.
    if parts == null || (at 1 == null && at 2 == "localhost") then
      null
    else
      {
        host = lib.removePrefix "[" (lib.removeSuffix "]" (at 2));
        user = at 1;
        rest = [
          (at 0)
          (if at 3 == null then ":22" else at 3)
        ];
      };

  parseCache =
    url:
    let
      parts = builtins.match "(https?)://([[][^]]+[]]|[^]:/?#@[]+)(:[0-9]+)?(/[^?#]*)?([?].*)?" url;
      at = lib.elemAt parts;
      port = if at 0 == "http" then ":80" else ":443";
      path = if at 3 == null then "" else at 3;
    in
    if parts == null then
      null
    else
      {
        host = lib.removePrefix "[" (lib.removeSuffix "]" (at 1));
        user = null;
        rest = [
          (at 0)
          (if at 2 == null then port else at 2)
          (head (builtins.match "(.*[^/])?/*" path))
        ];
      };
in
rec {
  # All that Nix asks, by both of its settings; nix.conf has a line of words where the option has a list.
  substituters =
    settings:
    let
      extra = settings.extra-substituters or [ ];
      words = filter (word: word != "") (lib.splitString " " extra);
    in
    settings.substituters or [ ] ++ (if lib.isString extra then words else extra);

  # Whether it can be the base64 of a whole line "ssh-ed25519 AAAA…", which is what Nix wants.
  isHostKey = key: builtins.match "(c3NoL|ZWNkc2E|c2st)[A-Za-z0-9+/=]+" key != null;

  # What ssh is told of each machine: its host, and in `rest` its port; not of those that Nix builds on by itself.
  dialled =
    machines: filter (parsed: parsed != null) (map (machine: parseMachine (machineUri machine)) machines);

  builders =
    { machines, own }:
    let
      uris = unique (map machineUri machines);
      item =
        uri:
        let
          parsed = parseMachine uri;
          same = filter (machine: machineUri machine == uri) machines;
          all = get: unique (concatMap get same);
          known = map (machine: machine.publicHostKey) same;
          keys = filter (key: key != null && isHostKey key) known;
        in
        lib.optional (parsed != null) (
          parsed
          // {
            entry = {
              inherit uri;
              systems = all (
                machine: if machine.system != null then [ machine.system ] else machine.systems
              );
              features = all (machine: machine.supportedFeatures ++ machine.mandatoryFeatures);
            }
            // optionalAttrs (keys != [ ]) { host_key = unique keys; };
          }
        );
      ownUri = entry: if entry.uri or null == null then null else parseMachine entry.uri;
    in
    joined {
      inherit own;
      found = concatMap item uris;
      isAbout =
        entry: item:
        let
          parsed = ownUri entry;
        in
        if parsed == null then names entry item.host else differInHost parsed item;
      complete =
        item: entry:
        if entry.uri or null == null || entry.uri == item.entry.uri then
          item.entry // compact entry
        else
          entry;
    };

  caches =
    {
      substituters,
      exclude,
      own,
    }:
    let
      item =
        url:
        let
          parsed = parseCache url;
        in
        lib.optional (parsed != null && !isExcluded exclude url) (
          parsed // { entry = { inherit url; }; }
        );
      ownUrl = entry: if entry.url or null == null then null else parseCache entry.url;
      # http://desktop:5000 and http://desktop:5000/ are one cache.
      once = lib.foldl' (
        done: item:
        if lib.any (known: known.host == item.host && known.rest == item.rest) done then
          done
        else
          done ++ [ item ]
      ) [ ];
    in
    joined {
      inherit own;
      found = once (concatMap item substituters);
      isAbout =
        entry: item:
        let
          parsed = ownUrl entry;
        in
        if parsed == null then names entry item.host else differInHost parsed item;
      complete =
        item: entry: if entry.url or null == null then item.entry // compact entry else entry;
    };

  # As offloadd itself reads `nix.exclude`: "*" is any run of characters; the case of scheme and host,
  # the scheme's own port, a trailing slash and parameters make no difference.
  isExcluded =
    patterns: url:
    let
      glob = pattern: lib.replaceStrings [ "\\*" ] [ ".*" ] (lib.escapeRegex (normal pattern));
    in
    lib.any (pattern: builtins.match (glob pattern) (normal url) != null) patterns;

  normal =
    url:
    let
      parts = builtins.match "(([^:/?#]+)://)?([^/?#]*)([^?#]*)([?#].*)?" url;
      at = lib.elemAt parts;
      scheme = if at 1 == null then "" else lib.toLower (at 1);
      port =
        {
          http = ":80";
          https = ":443";
        }
        .${scheme} or null;
      host = lib.toLower (at 2);
      shown = if port == null then host else lib.removeSuffix port host;
      path = builtins.match "(.*[^/])?/*" (at 3);
    in
    optionalString (scheme != "") "${scheme}://"
    + shown
    + (if head path == null then "" else head path);
}
