//! What compiling one function would take.
//!
//! The compiler's work is linear in most of what a function has, and quadratic in some: a few hundred kilobytes of
//! loops cost minutes. The figures were measured with wasmtime 48 on functions of one kind each, and are the worst of
//! them rounded up. They need not be exact: what people compile is far below the limits, what does harm is far above.

use wasmparser::{BlockType, BrTable, FunctionBody, Operator};

use crate::engine::cost::module::Module;

/// Bytes for an instruction, while its function is compiled.
const OPERATOR: u64 = 450;
/// The same for one that becomes a call of another function or of the runtime.
const CALL: u64 = 1_400;
/// For each value that a call or a branch takes along.
const VALUE: u64 = 150;
/// For a loop.
const LOOP: u64 = 14_000;
/// For a place where two ways of control meet.
const JOIN: u64 = 2_500;
/// For each loop, by each local that is used in the function.
const LOCAL_IN_LOOP: u64 = 110;

/// Nanoseconds for the same. These two are by the square of how many there are.
const LOOPS_TIME: u64 = 110;
const JOINS_TIME: u64 = 7;
const OPERATOR_TIME: u64 = 3_000;
const VALUE_TIME: u64 = 300;
const LOCAL_IN_LOOP_TIME: u64 = 2_400;

/// What a function has that costs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Function {
    operators: u64,
    calls: u64,
    values: u64,
    loops: u64,
    joins: u64,
    /// Those that are read or written.
    locals: u64,
}

/// Which locals were read or written by the function that is being read. There may be millions of functions, so what
/// they share is not cleared for each.
#[derive(Default)]
pub(crate) struct Locals {
    /// For each local, the last function that used it.
    last: Vec<u32>,
    now: u32,
}

impl Locals {
    /// The most that wasmtime takes.
    const MOST: usize = 50_000 + 1_000;

    /// Whether the function uses it for the first time.
    fn is_new(&mut self, local: u32) -> bool {
        let local = local as usize;
        if local >= Self::MOST {
            return false;
        }
        if local >= self.last.len() {
            self.last.resize(local + 1, 0);
        }
        std::mem::replace(&mut self.last[local], self.now) != self.now
    }
}

impl Function {
    /// Reads a body. `ty` is the function's.
    pub(crate) fn read(
        module: &Module,
        locals: &mut Locals,
        ty: u32,
        body: &FunctionBody<'_>,
    ) -> wasmparser::Result<Self> {
        locals.now = locals.now.wrapping_add(1);
        let mut function = Self::default();
        let (_, results) = module.arity(ty);
        // How many values a branch to each open block takes along.
        let mut labels = vec![results];
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            function.operators += 1;
            function.operator(module, locals, &operator, &mut labels)?;
        }
        Ok(function)
    }

    fn operator(
        &mut self,
        module: &Module,
        locals: &mut Locals,
        operator: &Operator<'_>,
        labels: &mut Vec<u64>,
    ) -> wasmparser::Result<()> {
        let label = |labels: &[u64], depth: u32| {
            let at = labels.len().checked_sub(1 + depth as usize);
            at.map_or(0, |at| labels[at])
        };
        let mut open = |ty: &BlockType, is_loop: bool| {
            let (params, results) = match ty {
                BlockType::Empty => (0, 0),
                BlockType::Type(_) => (0, 1),
                BlockType::FuncType(ty) => module.arity(*ty),
            };
            labels.push(if is_loop { params } else { results });
            params + results
        };
        match operator {
            Operator::LocalGet { local_index }
            | Operator::LocalSet { local_index }
            | Operator::LocalTee { local_index } => {
                self.locals += u64::from(locals.is_new(*local_index));
            }
            Operator::Block { blockty } => self.values += open(blockty, false),
            Operator::Loop { blockty } => {
                self.values += open(blockty, true);
                self.loops += 1;
            }
            Operator::If { blockty } => {
                self.values += open(blockty, false);
                self.joins += 1;
            }
            Operator::TryTable { try_table } => {
                self.values += open(&try_table.ty, false);
                self.joins += try_table.catches.len() as u64;
            }
            Operator::End => drop(labels.pop()),
            Operator::Br { relative_depth } => self.values += label(labels, *relative_depth),
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => {
                self.values += label(labels, *relative_depth);
                self.joins += 1;
            }
            Operator::BrTable { targets } => self.table(targets, |depth| label(labels, depth))?,
            Operator::Return => self.values += labels.first().copied().unwrap_or(0),
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                self.call(module.function(*function_index));
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => self.call(module.arity(*type_index)),
            Operator::Throw { tag_index } => self.call(module.tag(*tag_index)),
            Operator::StructNew { struct_type_index }
            | Operator::StructNewDefault { struct_type_index } => {
                self.call(module.arity(*struct_type_index));
            }
            Operator::ArrayNewFixed { array_size, .. } => self.call((u64::from(*array_size), 1)),
            operator if is_cheap(operator) => {}
            _ => self.calls += 1,
        }
        Ok(())
    }

    fn call(&mut self, (params, results): (u64, u64)) {
        self.calls += 1;
        self.values += params + results;
    }

    fn table(
        &mut self,
        targets: &BrTable<'_>,
        label: impl Fn(u32) -> u64,
    ) -> wasmparser::Result<()> {
        self.joins += 1;
        for target in targets.targets() {
            self.values += 1 + label(target?);
        }
        self.values += 1 + label(targets.default());
        Ok(())
    }

    /// Bytes that compiling it takes for as long as that lasts.
    pub(crate) fn bytes(&self) -> u64 {
        let parts = [
            (self.operators, OPERATOR),
            (self.calls, CALL),
            (self.values, VALUE),
            (self.loops, LOOP),
            (self.joins, JOIN),
            (self.loops.saturating_mul(self.locals), LOCAL_IN_LOOP),
        ];
        sum(parts)
    }

    /// Nanoseconds that compiling it takes, on a machine of today.
    pub(crate) fn nanoseconds(&self) -> u64 {
        let square = |count: u64| count.saturating_mul(count);
        let parts = [
            (self.operators, OPERATOR_TIME),
            (self.values, VALUE_TIME),
            (square(self.loops), LOOPS_TIME),
            (square(self.joins), JOINS_TIME),
            (self.loops.saturating_mul(self.locals), LOCAL_IN_LOOP_TIME),
        ];
        sum(parts)
    }

    /// What it has, for people.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} instructions, {} loops, {} conditional branches and {} locals",
            self.operators, self.loops, self.joins, self.locals
        )
    }
}

fn sum<const N: usize>(parts: [(u64, u64); N]) -> u64 {
    parts.iter().fold(0, |sum: u64, (count, each)| {
        sum.saturating_add(count.saturating_mul(*each))
    })
}

/// Whether it becomes a few machine instructions: the arithmetic and the memory accesses of the first version and of
/// SIMD. All others are taken for calls.
fn is_cheap(operator: &Operator<'_>) -> bool {
    macro_rules! cheap {
        ($(@$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            match operator {
                $(Operator::$op { .. } => cheap!(@is $proposal),)*
                _ => false,
            }
        };
        (@is mvp) => { true };
        (@is sign_extension) => { true };
        (@is saturating_float_to_int) => { true };
        (@is simd) => { true };
        (@is relaxed_simd) => { true };
        (@is $other:ident) => { false };
    }
    wasmparser::for_each_operator!(cheap)
}
