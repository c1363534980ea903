//! Nix's own formats, each parser beside its grammar's source.
