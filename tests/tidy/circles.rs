//! No circles: within each folder of a crate, its files and folders import each other one way.
//!
//! A file and the modules below it count as one, since a module may use what its parent defines. What
//! stands in a `#[cfg(test)]` module does not count, and what a macro call names is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use super::{none, read, sources};

/// The source folders of the crates.
const CRATES: [&str; 7] = [
    "consumer/src",
    "consumer-extras/src",
    "engine/src",
    "scaler/src",
    "simulator/src",
    "src",
    "tools/src",
];

/// The engine's own circles, which its second design unties: the folder, and who is in it.
const EXCEPTIONS: [(&str, &[&str]); 2] = [
    ("engine/src", &["assignor", "sizing"]),
    ("engine/src/decision", &["explain", "pipeline", "recommend"]),
];

/// A module's path in its crate; the crate's root is empty.
type Module = Vec<String>;

/// Some files or folders of one folder that import each other in a circle, sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Circle {
    folder: Module,
    members: Vec<String>,
}

/// Collects the modules that one file imports.
struct Imports<'a> {
    of: &'a Module,
    modules: &'a BTreeSet<Module>,
    found: BTreeSet<Module>,
}

#[test]
fn files_of_a_crate_import_each_other_one_way() {
    let mut complaints = Vec::new();
    let mut excused = BTreeSet::new();
    for folder in CRATES {
        let files: BTreeMap<Module, String> = sources()
            .iter()
            .filter_map(|path| Some((module(path.strip_prefix(folder).ok()?)?, read(path))))
            .collect();
        assert!(!files.is_empty(), "{folder} has no files");
        for circle in circles(&files) {
            let place = PathBuf::from_iter([folder.to_owned()].iter().chain(&circle.folder));
            let place = place.to_string_lossy().into_owned();
            let known = EXCEPTIONS.iter().find(|(folder, members)| {
                *folder == place && circle.members.iter().eq(members.iter())
            });
            match known {
                Some(known) => {
                    excused.insert(*known);
                }
                None => complaints.push(format!(
                    "{place}: {} import each other in a circle",
                    circle.members.join(", ")
                )),
            }
        }
    }
    for gone in EXCEPTIONS.iter().filter(|known| !excused.contains(known)) {
        complaints.push(format!(
            "{gone:?} is a circle no more: strike the exception"
        ));
    }
    none(&complaints);
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let check = |files: &[(&str, &str)], expected: &[(&str, &[&str])]| {
        let files = files
            .iter()
            .map(|(path, text)| (module(Path::new(path)).unwrap(), (*text).to_owned()))
            .collect();
        let found: Vec<(String, Vec<String>)> = circles(&files)
            .into_iter()
            .map(|circle| (circle.folder.join("/"), circle.members))
            .collect();
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(folder, members)| {
                let members = members.iter().map(|&member| member.to_owned());
                ((*folder).to_owned(), members.collect())
            })
            .collect();
        assert_eq!(found, expected, "{files:?}");
    };
    let root = ("lib.rs", "mod a; mod b; mod c;");
    let used = ("a.rs", "use crate::b::B;");
    check(&[root, used, ("b.rs", "")], &[]);
    for back in [
        "use crate::a::A;",
        "use super::{c, a as other};",
        "pub fn go() -> crate::a::A { todo() }",
        "fn go() { super::a::go(); }",
    ] {
        check(
            &[root, used, ("b.rs", back), ("c.rs", "")],
            &[("", &["a", "b"])],
        );
    }
    // Through a third, and between folders through the files in them.
    check(
        &[
            root,
            used,
            ("b.rs", "use super::c::C;"),
            ("c.rs", "use super::a::A;"),
        ],
        &[("", &["a", "b", "c"])],
    );
    check(
        &[
            root,
            ("a.rs", "mod x;"),
            ("a/x.rs", "use crate::b::B;"),
            ("b.rs", "use crate::a::A;"),
        ],
        &[("", &["a", "b"])],
    );
    check(
        &[
            ("a.rs", ""),
            ("a/x.rs", "use super::y::Y;"),
            ("a/y.rs", "use crate::a::x::X;"),
        ],
        &[("a", &["x", "y"])],
    );
    // A parent and its child are one, and tests may use what they test.
    check(
        &[("a.rs", "use self::x::X;"), ("a/x.rs", "use super::A;")],
        &[],
    );
    check(
        &[
            root,
            used,
            ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
        ],
        &[],
    );
}

/// The module that a file holds; none for files of tests.
fn module(file: &Path) -> Option<Module> {
    let mut module: Module = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.iter().any(|part| part == "tests") {
        return None;
    }
    if module == ["lib"] || module == ["main"] {
        module.clear();
    }
    Some(module)
}

/// Every circle of a crate.
fn circles(files: &BTreeMap<Module, String>) -> Vec<Circle> {
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    let mut folders: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (of, text) in files {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{of:?}: {error}"));
        let mut imports = Imports {
            of,
            modules: &modules,
            found: BTreeSet::new(),
        };
        imports.visit_file(&file);
        for other in imports.found {
            // They part ways in one folder; a module and its ancestor do not.
            let shared = of.iter().zip(&other).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (of.get(shared), other.get(shared)) {
                let folder = folders.entry(of[..shared].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let mut circles = BTreeSet::new();
    for (folder, imports) in folders {
        for start in imports.keys() {
            let reached = reachable(&imports, start);
            let members: Vec<String> = reached
                .iter()
                .filter(|other| reachable(&imports, other).contains(start))
                .cloned()
                .collect();
            if members.len() > 1 {
                circles.insert(Circle {
                    folder: folder.clone(),
                    members,
                });
            }
        }
    }
    circles.into_iter().collect()
}

/// Everything that `start` imports, straight or through others.
fn reachable(imports: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(next) = open.pop() {
        for other in imports.get(next).into_iter().flatten() {
            if reached.insert(other.clone()) {
                open.push(other);
            }
        }
    }
    reached
}

// === impl Imports ===

impl Imports<'_> {
    /// Notes the module that a path leads to, if it is one of this crate.
    fn path(&mut self, segments: &[String]) {
        let mut rest = segments;
        let mut place: Module = match rest.first().map(String::as_str) {
            Some("crate") => Module::new(),
            Some("self") => self.of.clone(),
            Some("super") => {
                let supers = rest.iter().take_while(|part| *part == "super").count();
                rest = &rest[supers - 1..];
                self.of[..self.of.len().saturating_sub(supers)].to_vec()
            }
            // A module of this file, or another crate.
            Some(first)
                if self
                    .modules
                    .contains(&[self.of.as_slice(), &[first.to_owned()]].concat()) =>
            {
                rest = &rest[..0];
                [self.of.as_slice(), &[first.to_owned()]].concat()
            }
            _ => return,
        };
        for part in rest.iter().skip(1) {
            let deeper = [place.as_slice(), std::slice::from_ref(part)].concat();
            if !self.modules.contains(&deeper) {
                break;
            }
            place = deeper;
        }
        if self.modules.contains(&place) {
            self.found.insert(place);
        }
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.path(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.path(prefix),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(prefix, tree);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|word| word == "test")
        });
        if !is_test {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let segments: Vec<String> = segments.map(|part| part.ident.to_string()).collect();
        self.path(&segments);
        visit::visit_path(self, path);
    }
}
