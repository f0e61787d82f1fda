//! Which export `--invoke` calls.

use crate::support::{Finished, Scratch, hart};
use std::ffi::OsStr;
use std::path::Path;

/// Functions of one name in several interfaces, at the top, in an instance of an instance, and of a resource; each
/// returns a number of its own.
const MANY: &str = r#"
(component
  (component $resources
    (type $r' (resource (rep i32)))
    (core module $m (func (export "six") (result i32) i32.const 6) (func (export "one") (param i32) (result i32) i32.const 1))
    (core instance $i (instantiate $m))
    (core func $new (canon resource.new $r'))
    (core module $n (import "" "new" (func $new (param i32) (result i32)))
      (func (export "make") (result i32) (call $new (i32.const 7))))
    (core instance $j (instantiate $n (with "" (instance (export "new" (func $new))))))
    (export $r "r" (type $r'))
    (func (export "[static]r.six") (result u32) (canon lift (core func $i "six")))
    (func (export "[constructor]r") (result (own $r)) (canon lift (core func $j "make")))
    (func (export "[method]r.one") (param "self" (borrow $r)) (result u32) (canon lift (core func $i "one"))))
  (core module $m
    (func (export "one") (result i32) i32.const 1)
    (func (export "two") (result i32) i32.const 2)
    (func (export "three") (result i32) i32.const 3)
    (func (export "four") (result i32) i32.const 4)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (func $one (result u32) (canon lift (core func $i "one")))
  (func $two (result u32) (canon lift (core func $i "two")))
  (func $three (result u32) (canon lift (core func $i "three")))
  (func $four (result u32) (canon lift (core func $i "four")))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (instance $resource (instantiate $resources))
  (instance $inner (export "f" (func $four)))
  (instance (export "a:b/one") (export "f" (func $one)) (export "list" (func $one)))
  (instance (export "a:b/two@1.2.0") (export "f" (func $two)) (export "add-up" (func $add)))
  (instance (export "c:d/two@0.3.0-rc.1") (export "f" (func $three)))
  (export "c:d/things@1.0.0" (instance $resource))
  (instance (export "outer") (export "inner" (instance $inner)))
  (func (export "alone") (result u32) (canon lift (core func $i "four"))))
"#;

fn invoke(file: &Path, call: &str) -> Finished {
    hart(["--invoke".as_ref(), call.as_ref(), file.as_os_str()] as [&OsStr; 3])
}

/// Hunts names that hart itself lists and that cannot be called, spellings that it does not take, and one that calls
/// another function than it says.
#[test]
pub(crate) fn every_export_can_be_called_by_name() {
    let scratch = Scratch::new();
    let file = scratch.write("many.wat", MANY);
    for (name, result) in [
        ("a:b/one#f", "1"),
        ("a:b/one.f", "1"),
        ("a:b/one/f", "1"),
        ("one.f", "1"),
        ("one#f", "1"),
        ("one#%list", "1"),
        ("%list", "1"),
        ("a:b/two@1.2.0#f", "2"),
        ("a:b/two@1.2.0.f", "2"),
        ("a:b/two.f@1.2.0", "2"),
        ("a:b/two#f", "2"),
        ("a:b/two.f", "2"),
        ("two@1.2.0.f", "2"),
        ("c:d/two@0.3.0-rc.1#f", "3"),
        ("c:d/two.f", "3"),
        ("outer#inner#f", "4"),
        ("outer.inner.f", "4"),
        ("inner.f", "4"),
        ("alone", "4"),
        ("c:d/things@1.0.0#[static]r.six", "6"),
        ("c:d/things.r.six", "6"),
        ("r.six", "6"),
    ] {
        let ended = invoke(&file, &format!("{name}()")).exits(0);
        assert_eq!(ended.stdout, format!("{result}\n"), "{name}");
    }
    let sum = invoke(&file, "a:b/two@1.2.0.add-up(40, 2)").exits(0);
    assert_eq!(sum.stdout, "42\n");

    // Whatever is listed.
    let listed = invoke(&file, "no-such()").exits(2).stderr;
    let (_, names) = listed.trim_end().split_once("it exports ").expect(&listed);
    let names: Vec<&str> = names.split(", ").collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        let arguments = if name.contains("add") { "1, 2" } else { "" };
        invoke(&file, &format!("{name}({arguments})")).exits(0);
    }
    let program = hart([file.as_os_str()]).exits(2).stderr;
    assert!(program.contains("a:b/two@1.2.0#f"), "{program}");
    assert!(!program.contains("[method]"), "{program}");
}

/// Hunts a name that calls one of two, and a refusal that does not say which there are.
#[test]
fn what_cannot_be_called_is_said() {
    let scratch = Scratch::new();
    let file = scratch.write("many.wat", MANY);
    for (call, says) in [
        (
            "f()",
            &[
                "more than one",
                "a:b/one#f",
                "a:b/two@1.2.0#f",
                "outer#inner#f",
            ][..],
        ),
        (
            "two.f()",
            &["more than one", "a:b/two@1.2.0#f", "c:d/two@0.3.0-rc.1#f"],
        ),
        (
            "a:b/one@1.0.0.f()",
            &["`a:b/one@1.0.0.f`", "it exports", "a:b/one#f"],
        ),
        ("things.r.one()", &["[method]r.one", "handle"]),
        ("[constructor]r()", &["[constructor]r", "handle"]),
        ("a:b/two.add-up(1)", &["arguments"]),
        ("(1)", &["no function's name"]),
    ] {
        let ended = invoke(&file, call).exits(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{call}: {ended:#?}");
        for part in says {
            assert!(ended.stderr.contains(part), "{call}, {part}: {ended:#?}");
        }
    }
}
