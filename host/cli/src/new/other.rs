//! Projects in Python, JavaScript and C: a library of one file, an example, and a build of one command.

use crate::failure::Failure;
use crate::wit;
use std::path::Path;

/// What a project in another language than Rust is made of.
pub(super) struct Language {
    /// Files in which `{name}` is filled in, and in lower case `{lower}`.
    templates: &'static [(&'static str, &'static str)],
    /// Files that are written as they are.
    library: &'static [(&'static str, &'static str)],
    /// Whether its build reads the contract.
    reads_wit: bool,
    /// How it is built.
    pub(super) build: &'static str,
}

pub(super) const PYTHON: Language = Language {
    templates: &[
        ("app.py", include_str!("../../template/python/app.py.in")),
        (
            "Makefile",
            include_str!("../../template/python/Makefile.in"),
        ),
        (
            "requirements.txt",
            include_str!("../../template/python/requirements.txt.in"),
        ),
        (
            "README.md",
            include_str!("../../template/python/README.md.in"),
        ),
        (".gitignore", "/.venv\n/{name}.wasm\n__pycache__\n"),
    ],
    library: &[("hart.py", include_str!("../../template/python/hart.py"))],
    reads_wit: true,
    build: "make",
};

pub(super) const JAVASCRIPT: Language = Language {
    templates: &[
        (
            "app.js",
            include_str!("../../template/javascript/app.js.in"),
        ),
        (
            "build.mjs",
            include_str!("../../template/javascript/build.mjs.in"),
        ),
        (
            "package.json",
            include_str!("../../template/javascript/package.json.in"),
        ),
        (
            "README.md",
            include_str!("../../template/javascript/README.md.in"),
        ),
        (".gitignore", "/node_modules\n/{name}.wasm\n"),
    ],
    library: &[("hart.js", include_str!("../../template/javascript/hart.js"))],
    reads_wit: true,
    build: "npm install && npm run build",
};

pub(super) const C: Language = Language {
    templates: &[
        ("app.c", include_str!("../../template/c/app.c.in")),
        ("Makefile", include_str!("../../template/c/Makefile.in")),
        ("README.md", include_str!("../../template/c/README.md.in")),
        (".gitignore", "/{name}.wasm\n"),
    ],
    library: &[
        ("hart.h", include_str!("../../template/c/hart.h")),
        ("hart.c", include_str!("../../template/c/hart.c")),
    ],
    // It is in hart.c.
    reads_wit: false,
    build: "make",
};

impl Language {
    /// Writes a project into the directory `root`, which is there.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(&self, root: &Path, name: &str) -> Result<(), Failure> {
        for (path, content) in self.templates {
            let content = content
                .replace("{name}", name)
                .replace("{lower}", &name.to_lowercase());
            wit::write(&root.join(path), &content)?;
        }
        for (path, content) in self.library {
            wit::write(&root.join(path), content)?;
        }
        if self.reads_wit {
            for (path, content) in wit::files() {
                wit::write(&root.join("wit").join(path), content)?;
            }
        }
        Ok(())
    }
}
