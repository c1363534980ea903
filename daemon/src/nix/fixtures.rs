//! Host keys for the tests; their private halves were thrown away.

pub(crate) const ED25519: &str =
    "AAAAC3NzaC1lZDI1NTE5AAAAIBrbNqPiqO7O0/3U8Jhqt26xhRX7qECCASVUv31YQpk5";
pub(crate) const ECDSA: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBL/RIDYMqS/Lnsg+V9HngdVgaW/XDlkMDUn6Fu+c/tgSRRvoQnK4c9XoUr6GnQdBi122wWOqxr7W5QmoV1DYYd8=";
pub(crate) const RSA: &str = "AAAAB3NzaC1yc2EAAAADAQABAAABAQCHJMYNC23zFCYywxYhtzH7TP3rpAp1n7h98KVBCgxDX/m9pyvA3yVxRZdH5dAZeBOTil7YudVKDJ6G3WjrhrD6ANpMdAY6g0LHJ8a3hhtRJnZ/c1sX81qHSur99wB6Ri3SVqogXtJo1i885RdsbQL+jPYL7fpMzCayHsbfQJqQnmCqbGP0FykuR7MHesSuzUV70S1HsacWm+kevIhqKrI8Wabt2g9RtERZdYSINCKGeIBVjTubh7ic/9kR0D0PabDtxoUot3NxsdkSZSz6BD+7/1+eQgZJ95IuZlVHYG2vbi7H4l4LLGNJtUwMk6YLKiIM8Di4nFgvI6QJcgS3IhSb";
