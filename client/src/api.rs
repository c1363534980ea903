//! What a program may use of this crate, made of its source and held to it: nothing becomes public, or is public no more,
//! unseen. `OFFLOAD_WRITE_MAN=1 cargo nextest run -p offload-client --lib api` writes it anew.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Fields, ImplItem, Item, ItemEnum, TraitItem, UseTree, Visibility, spanned::Spanned,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/api.txt");
const HEAD: &str = "\
# What a program may use of offload-client without its features, made of the source by src/api.rs. Of the traits in
# proxy.rs zbus makes proxies (Manager: ManagerProxy); derived and blanket implementations are not listed.
";

#[test]
fn what_is_public_is_what_the_kept_list_says() {
    let mut modules = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    read(&root, "crate", true, &mut modules);
    let names = public_types(&modules);
    let mut made = HEAD.to_owned();
    for module in &modules {
        let lines = listed(module, &names);
        if !lines.is_empty() {
            made += &format!("\n{}\n{}", module.path, lines.concat());
        }
    }
    if std::env::var_os("OFFLOAD_WRITE_MAN").is_some() {
        fs::write(FILE, &made).unwrap();
    }
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        kept == made,
        "api.txt is older than the source: see the head of {}",
        file!()
    );
}

struct Module {
    path: String,
    is_public: bool,
    items: Vec<Item>,
}

/// A module and those in it, but for tests and for what a feature adds.
fn read(file: &Path, path: &str, is_public: bool, into: &mut Vec<Module>) {
    let items = syn::parse_file(&fs::read_to_string(file).unwrap())
        .unwrap()
        .items;
    let inside: PathBuf = match file.file_name().unwrap().to_str().unwrap() {
        "lib.rs" => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    let (modules, items): (Vec<Item>, Vec<Item>) = items
        .into_iter()
        .partition(|item| matches!(item, Item::Mod(_)));
    into.push(Module {
        path: path.to_owned(),
        is_public,
        items,
    });
    for module in modules {
        if let Item::Mod(it) = module
            && it.content.is_none()
            && !is_conditional(&it.attrs)
        {
            let file = inside.join(format!("{}.rs", it.ident));
            read(
                &file,
                &format!("{path}::{}", it.ident),
                is_public && is_pub(&it.vis),
                into,
            );
        }
    }
}

/// The types that a program can name, wherever they are made.
fn public_types(modules: &[Module]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for module in modules.iter().filter(|module| module.is_public) {
        for item in &module.items {
            match item {
                Item::Struct(it) if is_pub(&it.vis) => {
                    names.insert(it.ident.to_string());
                }
                Item::Enum(it) if is_pub(&it.vis) => {
                    names.insert(it.ident.to_string());
                }
                Item::Macro(it) => {
                    if let Some(it) = vocabulary(it) {
                        names.insert(it.ident.to_string());
                    }
                }
                Item::Use(it) if is_pub(&it.vis) && !is_conditional(&it.attrs) => {
                    leaves(&it.tree, &mut names);
                }
                _ => {}
            }
        }
    }
    names
}

fn leaves(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, names),
        UseTree::Name(name) => {
            names.insert(name.ident.to_string());
        }
        UseTree::Group(group) => group.items.iter().for_each(|it| leaves(it, names)),
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

fn listed(module: &Module, names: &BTreeSet<String>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |depth: usize, text: String| {
        lines.push(format!("{}{text}\n", "    ".repeat(depth)));
    };
    // What is made in a private module may be used from another.
    let is_shown =
        |vis: &Visibility, name: String| is_pub(vis) && (module.is_public || names.contains(&name));
    for item in &module.items {
        match item {
            Item::Use(it) if is_pub(&it.vis) && module.is_public && !is_conditional(&it.attrs) => {
                line(1, format!("use {}", text(&it.tree)));
            }
            Item::Fn(it)
                if is_shown(&it.vis, it.sig.ident.to_string()) && !is_conditional(&it.attrs) =>
            {
                line(1, text(&it.sig));
            }
            Item::Const(it) if is_shown(&it.vis, it.ident.to_string()) => {
                line(1, format!("const {}: {}", it.ident, text(&it.ty)));
            }
            Item::Type(it) if is_shown(&it.vis, it.ident.to_string()) => {
                line(1, format!("type {} = {}", it.ident, text(&it.ty)));
            }
            Item::Struct(it) if is_shown(&it.vis, it.ident.to_string()) => {
                line(1, format!("struct {}", it.ident));
                for field in it.fields.iter().filter(|field| is_pub(&field.vis)) {
                    let name = field.ident.as_ref().map(|it| format!("{it}: "));
                    line(2, name.unwrap_or_default() + &text(&field.ty));
                }
            }
            Item::Enum(it) if is_shown(&it.vis, it.ident.to_string()) => {
                line(1, format!("enum {}", it.ident));
                for it in &it.variants {
                    let fields = match &it.fields {
                        Fields::Unnamed(fields) => {
                            let types: Vec<String> =
                                fields.unnamed.iter().map(|it| text(&it.ty)).collect();
                            format!("({})", types.join(", "))
                        }
                        Fields::Named(_) | Fields::Unit => String::new(),
                    };
                    line(2, format!("{}{fields}", it.ident));
                }
            }
            Item::Macro(it) => {
                if let Some(it) = vocabulary(it)
                    && is_shown(&it.vis, it.ident.to_string())
                {
                    let words: Vec<String> =
                        it.variants.iter().map(|it| it.ident.to_string()).collect();
                    line(1, format!("words {}: {}", it.ident, words.join(" ")));
                }
            }
            Item::Trait(it) if is_shown(&it.vis, it.ident.to_string()) => {
                line(1, format!("trait {}", it.ident));
                for it in &it.items {
                    if let TraitItem::Fn(it) = it {
                        line(2, text(&it.sig));
                    }
                }
            }
            Item::Impl(it) if !is_conditional(&it.attrs) => {
                let of = text(&it.self_ty);
                let name = of.split('<').next().unwrap_or_default();
                if !names.contains(name) {
                    continue;
                }
                if let Some((path, _)) = &it.trait_ {
                    line(1, format!("impl {} for {of}", text(path)));
                    continue;
                }
                for it in &it.items {
                    match it {
                        ImplItem::Fn(it) if is_pub(&it.vis) && !is_conditional(&it.attrs) => {
                            line(1, format!("{name}: {}", text(&it.sig)));
                        }
                        ImplItem::Const(it) if is_pub(&it.vis) => {
                            line(1, format!("{name}: const {}: {}", it.ident, text(&it.ty)));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    lines
}

/// An enum that `words!` makes.
fn vocabulary(it: &syn::ItemMacro) -> Option<ItemEnum> {
    it.mac
        .path
        .is_ident("words")
        .then(|| syn::parse2(it.mac.tokens.clone()).unwrap())
}

fn is_pub(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

fn is_conditional(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("cfg") || it.path().is_ident("doc") && text(it).contains("hidden")
    })
}

/// As it stands in the source, on one line.
fn text(it: &impl Spanned) -> String {
    let text = it.span().source_text().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    text.replace("( ", "(")
        .replace(", )", ")")
        .replace(",)", ")")
}
