//! One script: its directives, in order, and what they leave for the ones after them.

use super::core::{Core, EXCEPTION};
use super::core_values::{self, Value};
use super::ground::Ground;
use super::instance::{Instance, Link};
use super::values;
use crate::output::one_line;
use hart_host::Limits;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use wasmtime::Module;
use wasmtime::component::Val;
use wast::parser::{self, ParseBuffer};
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, WastRet};

/// How scripts are run.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Those of every instance.
    pub(super) limits: Limits,
    /// Whether what is to be rejected may be rejected for any reason.
    pub(super) any_reason: bool,
}

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
pub(super) fn run(ground: &Ground, how: How, path: &Path, text: &str) -> Verdict {
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
        how,
        definitions: HashMap::new(),
        core: None,
        instances: Vec::new(),
        last: None,
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
            std::mem::forget((context.core.take(), std::mem::take(&mut context.instances)));
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
    how: How,
    /// Valid components and modules by name; the last one under no name as well. They are linked, and so compiled
    /// once more, where they are instantiated: what they import may have been registered since.
    definitions: HashMap<Option<String>, Rc<[u8]>>,
    /// What core modules are in, once there is one.
    core: Option<Core>,
    /// Every instance of a component.
    instances: Vec<Instance>,
    /// The instance that `invoke` without a name means.
    last: Option<Place>,
    /// Their names.
    names: HashMap<String, Place>,
    /// What later components may import.
    links: Vec<Link>,
}

/// Where an instance is.
#[derive(Clone, Copy)]
enum Place {
    /// In [`Context::instances`].
    Component(usize),
    /// In [`Context::core`].
    Core(usize),
}

/// What a call returned.
enum Values {
    Component(Vec<Val>),
    Core(Vec<Value>),
}

impl Values {
    fn show(&self) -> String {
        match self {
            Self::Component(values) => values::show(values),
            Self::Core(values) => format!("{values:?}"),
        }
    }

    /// Whether these were expected, or else what was.
    fn check(&self, expected: &[WastRet<'_>]) -> Result<(), Reason> {
        let (same, shown) = match self {
            Self::Component(actual) => {
                let expected = values::results(expected)?;
                (values::all_same(&expected, actual), values::show(&expected))
            }
            Self::Core(actual) => (core_values::are(expected, actual)?, format!("{expected:?}")),
        };
        match same {
            true => Ok(()),
            false => Err(format!("expected {shown}, got {}", self.show())),
        }
    }
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
                match self.place(module)? {
                    Place::Component(index) => self.links.push(self.instances[index].link(link)),
                    Place::Core(index) => {
                        let ground = self.ground;
                        let linked = self.core()?.link(ground, index, link);
                        linked.map_err(|error| format!("{error:#}"))?;
                    }
                }
                Ok(())
            }
            WastDirective::Invoke(call) => self.invoke(&call).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => {
                self.execute(exec)?.check(&results)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let outcome = self.execute(exec);
                trapped("a trap", message, outcome.map(|v| v.show()))
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let outcome = self.invoke(&call);
                trapped("exhaustion", message, outcome.map(|v| v.show()))
            }
            WastDirective::AssertInvalid {
                mut module,
                message,
                ..
            } => {
                let outcome = self
                    .validate(&mut module)
                    .map(|_| String::from("a valid one"));
                self.rejected("an invalid one", message, outcome)
            }
            WastDirective::AssertMalformed {
                mut module,
                message,
                ..
            } => {
                let outcome = self
                    .validate(&mut module)
                    .map(|_| String::from("a valid one"));
                self.rejected("a malformed one", message, outcome)
            }
            WastDirective::AssertUnlinkable {
                module, message, ..
            } => {
                let outcome = self.execute(WastExecute::Wat(module));
                let outcome = outcome.map(|_| String::from("an instance"));
                self.rejected("an unlinkable one", message, outcome)
            }
            WastDirective::AssertException { exec, .. } => {
                let outcome = self.execute(exec).map(|v| v.show());
                rejected("an exception", EXCEPTION, outcome)
            }
            _ => Err(String::from(
                "this directive needs threads, stack switching or custom sections, which `hart wast` does not run",
            )),
        }
    }

    /// As [`rejected`], where the reason matters.
    fn rejected(
        &self,
        what: &str,
        message: &str,
        outcome: Result<String, Reason>,
    ) -> Result<(), Reason> {
        match outcome {
            Err(_) if self.how.any_reason => Ok(()),
            outcome => rejected(what, message, outcome),
        }
    }

    /// Keeps a component or module under its name, if it is valid.
    fn define(&mut self, source: &mut QuoteWat<'_>) -> Result<(), Reason> {
        let name = name(source.name());
        let binary: Rc<[u8]> = self.validate(source)?.into();
        self.definitions.insert(None, binary.clone());
        self.definitions.insert(name, binary);
        Ok(())
    }

    /// The bytes of a component or module that the engine accepts, or the engine's own words where it does not.
    fn validate(&mut self, source: &mut QuoteWat<'_>) -> Result<Vec<u8>, Reason> {
        let bytes = encode(source)?;
        let valid = if is_module(&bytes) {
            Module::from_binary(self.core()?.engine(), &bytes).map(drop)
        } else {
            let engine = self.ground.engine_for(&bytes);
            wasmtime::component::Component::from_binary(engine, &bytes).map(drop)
        };
        match valid {
            Ok(()) => Ok(bytes),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// What core modules are in.
    fn core(&mut self) -> Result<&mut Core, Reason> {
        if self.core.is_none() {
            let core = Core::start(self.ground, self.how.limits);
            self.core = Some(core.map_err(|error| format!("{error:#}"))?);
        }
        Ok(self.core.as_mut().expect("it is there now"))
    }

    fn instantiate(&mut self, name: Option<String>, binary: &[u8]) -> Result<(), Reason> {
        let place = if is_module(binary) {
            let index = self.core_instance(binary)?;
            if let Some(name) = &name {
                let (ground, core) = (self.ground, self.core()?);
                let linked = core.link(ground, index, name);
                linked.map_err(|error| format!("{error:#}"))?;
            }
            Place::Core(index)
        } else {
            let instance = Instance::new(self.ground, binary, &self.links, self.how.limits)
                .map_err(|error| format!("{error:#}"))?;
            if let Some(name) = &name {
                // As in wasmtime: a name in the script is one to import as well.
                self.links.push(instance.link(name));
            }
            self.instances.push(instance);
            Place::Component(self.instances.len() - 1)
        };
        if let Some(name) = name {
            self.names.insert(name, place);
        }
        self.last = Some(place);
        Ok(())
    }

    fn core_instance(&mut self, binary: &[u8]) -> Result<usize, Reason> {
        let ground = self.ground;
        let core = self.core()?;
        Module::from_binary(core.engine(), binary)
            .and_then(|module| core.instantiate(ground, module))
            .map_err(|error| format!("{error:#}"))
    }

    fn execute(&mut self, what: WastExecute<'_>) -> Result<Values, Reason> {
        match what {
            WastExecute::Invoke(call) => self.invoke(&call),
            WastExecute::Wat(source) => {
                let binary = encode(&mut QuoteWat::Wat(source))?;
                if is_module(&binary) {
                    self.core_instance(&binary)?;
                } else {
                    Instance::new(self.ground, &binary, &self.links, self.how.limits)
                        .map_err(|error| format!("{error:#}"))?;
                }
                Ok(Values::Core(Vec::new()))
            }
            WastExecute::Get { module, global, .. } => match self.place(module)? {
                Place::Component(_) => Err(String::from("components have no globals to get")),
                Place::Core(index) => {
                    let (ground, core) = (self.ground, self.core()?);
                    let got = core.get(ground, index, global);
                    got.map(Values::Core).map_err(|error| format!("{error:#}"))
                }
            },
        }
    }

    fn invoke(&mut self, call: &WastInvoke<'_>) -> Result<Values, Reason> {
        let ground = self.ground;
        let result = match self.place(call.module)? {
            Place::Component(index) => {
                let arguments = values::arguments(&call.args)?;
                let results = self.instances[index].call(ground, call.name, arguments);
                results.map(Values::Component)
            }
            Place::Core(index) => {
                let arguments = core_values::arguments(&call.args)?;
                let results = self.core()?.call(ground, index, call.name, arguments);
                results.map(Values::Core)
            }
        };
        result.map_err(|error| format!("{error:#}"))
    }

    fn place(&self, id: Option<Id<'_>>) -> Result<Place, Reason> {
        match id {
            Some(id) => self.names.get(id.name()).copied(),
            None => self.last,
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
    source.encode().map_err(|error| error.message())
}

/// Whether this is a core module, and no component.
fn is_module(binary: &[u8]) -> bool {
    binary.starts_with(b"\0asm\x01\0\0\0")
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
