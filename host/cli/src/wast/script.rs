//! One script: its directives, in order, and what they leave for the ones after them.

use super::ground::Ground;
use super::instance::{Instance, Link};
use super::values;
use crate::output::one_line;
use hart_host::Limits;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use wasmtime::component::Val;
use wast::parser::{self, ParseBuffer};
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

/// What became of a script.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// How many directives there were.
    pub(super) directives: usize,
    /// One line, with file, line and column, for each that failed.
    pub(super) failures: Vec<String>,
}

/// Runs the script `text`, which came from `path`.
///
/// A directive that fails does not keep the ones after it from being run. A script that cannot be
/// parsed is one failure.
pub(super) fn run(ground: &Ground, limits: Limits, path: &Path, text: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let buffer = match ParseBuffer::new(text) {
        Ok(buffer) => buffer,
        Err(error) => return verdict.unparsed(path, text, &error),
    };
    let script = match parser::parse::<Wast<'_>>(&buffer) {
        Ok(script) => script,
        Err(error) => return verdict.unparsed(path, text, &error),
    };
    let mut context = Context {
        ground,
        limits,
        definitions: HashMap::new(),
        instances: Vec::new(),
        names: HashMap::new(),
        links: Vec::new(),
    };
    for directive in script.directives {
        verdict.directives += 1;
        let span = directive.span();
        if let Err(reason) = context.directive(directive) {
            verdict.failures.push(located(path, text, span, &reason));
        }
        if ground.has_failed() {
            // Its tasks stand in the middle of something: nothing may be cancelled under them.
            std::mem::forget(std::mem::take(&mut context.instances));
            break;
        }
    }
    verdict
}

impl Verdict {
    fn unparsed(mut self, path: &Path, text: &str, error: &wast::Error) -> Self {
        self.directives = 1;
        self.failures
            .push(located(path, text, error.span(), &error.message()));
        self
    }
}

/// `file:line:column: reason`, counted from 1.
fn located(path: &Path, text: &str, span: Span, reason: &str) -> String {
    let (line, column) = span.linecol_in(text);
    let place = format!("{}:{}:{}", path.display(), line + 1, column + 1);
    one_line(&format!("{place}: {reason}"))
}

/// Why a component was not accepted, or a call not answered.
type Reason = String;

struct Context<'a> {
    ground: &'a Ground,
    limits: Limits,
    /// Valid components by name; the last one under no name as well. They are linked, and so compiled
    /// once more, where they are instantiated: what they import may have been registered since.
    definitions: HashMap<Option<String>, Rc<[u8]>>,
    /// Every instance; the last one is what `invoke` without a name means.
    instances: Vec<Instance>,
    /// Their names.
    names: HashMap<String, usize>,
    /// What later components may import.
    links: Vec<Link>,
}

impl Context<'_> {
    fn directive(&mut self, directive: WastDirective<'_>) -> Result<(), Reason> {
        match directive {
            WastDirective::Module(mut source) => {
                let name = name(source.name());
                let component = encode(&mut source)?;
                self.instantiate(name, &component)
            }
            WastDirective::ModuleDefinition(mut source) => self.define(&mut source),
            WastDirective::ModuleInstance {
                instance, module, ..
            } => {
                let definition = name(module);
                let Some(component) = self.definitions.get(&definition).cloned() else {
                    return Err(format!("no component {}", show(module)));
                };
                self.instantiate(name(instance), &component)
            }
            WastDirective::Register {
                name: link, module, ..
            } => {
                let index = self.index(module)?;
                self.links.push(self.instances[index].link(link));
                Ok(())
            }
            WastDirective::Invoke(call) => self.invoke(&call).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => {
                let expected = values::results(&results)?;
                let actual = self.execute(exec)?;
                if values::all_same(&expected, &actual) {
                    return Ok(());
                }
                Err(format!(
                    "expected {}, got {}",
                    values::show(&expected),
                    values::show(&actual)
                ))
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let outcome = self.execute(exec);
                trapped("a trap", message, outcome.map(|v| values::show(&v)))
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let outcome = self.invoke(&call);
                trapped("exhaustion", message, outcome.map(|v| values::show(&v)))
            }
            WastDirective::AssertInvalid {
                mut module,
                message,
                ..
            } => {
                let outcome = self
                    .validate(&mut module)
                    .map(|_| String::from("a valid one"));
                rejected("an invalid component", message, outcome)
            }
            WastDirective::AssertMalformed {
                mut module,
                message,
                ..
            } => {
                let outcome = self
                    .validate(&mut module)
                    .map(|_| String::from("a valid one"));
                rejected("a malformed component", message, outcome)
            }
            WastDirective::AssertUnlinkable {
                module, message, ..
            } => {
                let outcome = self.execute(WastExecute::Wat(module));
                let outcome = outcome.map(|_| String::from("an instance"));
                rejected("an unlinkable component", message, outcome)
            }
            _ => Err(String::from(
                "this directive is for core modules; `hart wast` runs components only",
            )),
        }
    }

    /// Keeps a component under its name, if it is valid.
    fn define(&mut self, source: &mut QuoteWat<'_>) -> Result<(), Reason> {
        let name = name(source.name());
        let component: Rc<[u8]> = self.validate(source)?.into();
        self.definitions.insert(None, component.clone());
        self.definitions.insert(name, component);
        Ok(())
    }

    /// The bytes of a component that the engine accepts, or the engine's own words where it does not.
    fn validate(&self, source: &mut QuoteWat<'_>) -> Result<Vec<u8>, Reason> {
        let bytes = encode(source)?;
        let engine = self.ground.engine_for(&bytes);
        match wasmtime::component::Component::from_binary(engine, &bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn instantiate(&mut self, name: Option<String>, component: &[u8]) -> Result<(), Reason> {
        let instance = Instance::new(self.ground, component, &self.links, self.limits)
            .map_err(|error| format!("{error:#}"))?;
        if let Some(name) = name {
            // As in wasmtime: a name in the script is one to import as well.
            self.links.push(instance.link(&name));
            self.names.insert(name, self.instances.len());
        }
        self.instances.push(instance);
        Ok(())
    }

    fn execute(&mut self, what: WastExecute<'_>) -> Result<Vec<Val>, Reason> {
        match what {
            WastExecute::Invoke(call) => self.invoke(&call),
            WastExecute::Wat(source) => {
                let component = encode(&mut QuoteWat::Wat(source))?;
                Instance::new(self.ground, &component, &self.links, self.limits)
                    .map(|_| Vec::new())
                    .map_err(|error| format!("{error:#}"))
            }
            WastExecute::Get { .. } => Err(String::from("components have no globals to get")),
        }
    }

    fn invoke(&mut self, call: &WastInvoke<'_>) -> Result<Vec<Val>, Reason> {
        let arguments = values::arguments(&call.args)?;
        let index = self.index(call.module)?;
        self.instances[index]
            .call(self.ground, call.name, arguments)
            .map_err(|error| format!("{error:#}"))
    }

    fn index(&self, id: Option<Id<'_>>) -> Result<usize, Reason> {
        match id {
            Some(id) => self.names.get(id.name()).copied(),
            None => self.instances.len().checked_sub(1),
        }
        .ok_or_else(|| format!("no instance {}", show(id)))
    }
}

fn name(id: Option<Id<'_>>) -> Option<String> {
    id.map(|id| id.name().to_owned())
}

fn show(id: Option<Id<'_>>) -> String {
    match id {
        Some(id) => format!("${} before this", id.name()),
        None => String::from("before this"),
    }
}

fn encode(source: &mut QuoteWat<'_>) -> Result<Vec<u8>, Reason> {
    if matches!(
        source,
        QuoteWat::Wat(Wat::Module(_)) | QuoteWat::QuoteModule(..)
    ) {
        return Err(String::from(
            "a core module; `hart wast` runs components only",
        ));
    }
    source.encode().map_err(|error| error.message())
}

/// A trap was to come, with a reason that contains `message`, or that means the same: where wasmtime's own runner is not
/// particular, neither is this one.
fn trapped(what: &str, message: &str, outcome: Result<String, Reason>) -> Result<(), Reason> {
    match outcome {
        Err(reason) if is_same_trap(message, &reason) => Ok(()),
        outcome => rejected(what, message, outcome),
    }
}

/// As in the crate wasmtime-wast of wasmtime 48.
fn is_same_trap(expected: &str, actual: &str) -> bool {
    let both = |words: &str| expected.contains(words) && actual.contains(words);
    actual.contains(expected)
        || (expected.contains("uninitialized element 2")
            && actual.contains("uninitialized element"))
        || (expected.contains("null function")
            && (actual.contains("uninitialized element") || actual.contains("null reference")))
        || (expected.contains("null")
            && expected.contains("reference")
            && actual.contains("null reference"))
        || both("cannot write")
        || both("cannot read")
}

/// Something was to be rejected with a reason that contains `message`.
fn rejected(what: &str, message: &str, outcome: Result<String, Reason>) -> Result<(), Reason> {
    match outcome {
        Ok(accepted) => Err(format!("expected {what} (`{message}`), got {accepted}")),
        Err(reason) if reason.contains(message) => Ok(()),
        Err(reason) => Err(format!("expected {what} (`{message}`), but: {reason}")),
    }
}
