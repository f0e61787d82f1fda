//! What the keys of `hart top` do.

use super::client::Change;
use super::state::{Prompt, State, Step, Table};
use super::view::View;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// The longest text that may be typed.
const LONGEST: usize = 64;

/// Does what an event of the terminal says.
pub(super) fn take(event: &Event, view: &View, state: &mut State) -> Step {
    let Event::Key(key) = event else {
        // The screen has another size, for instance.
        return Step::Go;
    };
    if !key.is_press() {
        return Step::Go;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => Step::Leave,
            _ => Step::Go,
        };
    }
    state.message.clear();
    match state.prompt {
        Some(prompt) => answer(*key, prompt, view, state),
        None => command(*key, view, state),
    }
}

fn command(key: KeyEvent, view: &View, state: &mut State) -> Step {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Step::Leave,
        KeyCode::Down | KeyCode::Char('j') => state.go(view, 1),
        KeyCode::Up => state.go(view, -1),
        KeyCode::PageDown => state.go(view, 10),
        KeyCode::PageUp => state.go(view, -10),
        KeyCode::Home => state.go(view, isize::MIN),
        KeyCode::Tab => state.turn(view),
        KeyCode::Char('s') => state.sort = state.sort.next(),
        KeyCode::Char(' ') => state.is_paused = !state.is_paused,
        KeyCode::Char('/') => {
            state.typed = std::mem::take(&mut state.filter);
            state.prompt = Some(Prompt::Filter);
        }
        KeyCode::Char('f') => {
            return Step::Ask(Change {
                path: "/flight".into(),
                body: String::new(),
            });
        }
        KeyCode::Char(letter @ ('k' | 'w' | 'c')) => asks(letter, state),
        _ => {}
    }
    Step::Go
}

fn asks(letter: char, state: &mut State) {
    let prompt = match letter {
        'k' => Prompt::Kill,
        'w' => Prompt::Weight,
        _ => Prompt::Rate,
    };
    state.typed.clear();
    match (state.chosen(), prompt, state.table) {
        (None, ..) => state.message = "nothing is chosen".into(),
        (_, Prompt::Kill, Table::Apps) => {
            state.message = "an app is no run: press Tab and choose one of its runs".into();
        }
        (Some(chosen), _, table) => {
            state.target = Some((table, chosen.to_owned()));
            state.prompt = Some(prompt);
        }
    }
}

fn answer(key: KeyEvent, prompt: Prompt, view: &View, state: &mut State) -> Step {
    match key.code {
        KeyCode::Esc => state.prompt = None,
        KeyCode::Enter => {
            state.prompt = None;
            return done(prompt, state);
        }
        KeyCode::Backspace => drop(state.typed.pop()),
        KeyCode::Char(c) if state.typed.len() < LONGEST && !c.is_control() => state.typed.push(c),
        _ => {}
    }
    if prompt == Prompt::Filter {
        state.filter.clone_from(&state.typed);
        state.keep_selection(view);
    }
    Step::Go
}

fn done(prompt: Prompt, state: &mut State) -> Step {
    let Some((table, chosen)) = state.target.take() else {
        return Step::Go;
    };
    let typed = state.typed.trim();
    let kind = match table {
        Table::Apps => "apps",
        Table::Runs => "runs",
    };
    let key = match prompt {
        Prompt::Filter => return Step::Go,
        Prompt::Kill if matches!(typed, "y" | "yes") => {
            return Step::Ask(Change {
                path: format!("/runs/{chosen}/cancel"),
                body: String::new(),
            });
        }
        Prompt::Kill => return Step::Go,
        Prompt::Weight => "weight",
        Prompt::Rate => "cpu_rate",
    };
    match typed.parse::<serde_json::Number>() {
        Ok(number) => Step::Ask(Change {
            path: format!("/{kind}/{chosen}/share"),
            body: serde_json::json!({ key: number }).to_string(),
        }),
        Err(_) => {
            state.message = format!("`{typed}` is no number");
            Step::Go
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Sort;
    use super::super::view::RunRow;
    use super::*;

    /// Hunts a prompt that ends another run than the one it has named.
    #[test]
    fn a_prompt_is_for_the_run_that_it_was_opened_for() {
        let view = |ids: &[u64]| View {
            runs: { ids.iter() }
                .map(|id| RunRow {
                    id: *id,
                    ..RunRow::default()
                })
                .collect(),
            ..View::default()
        };
        let mut state = State::new(String::new(), Sort::Name, String::new());
        let both = view(&[1, 2]);
        state.keep_selection(&both);
        let press = |code, view: &View, state: &mut State| {
            take(
                &Event::Key(KeyEvent::new(code, KeyModifiers::NONE)),
                view,
                state,
            )
        };
        press(KeyCode::Char('k'), &both, &mut state);
        let rest = view(&[2]);
        state.keep_selection(&rest);
        assert_eq!(state.chosen(), Some("2"));
        press(KeyCode::Char('y'), &rest, &mut state);
        let Step::Ask(change) = press(KeyCode::Enter, &rest, &mut state) else {
            panic!("nothing is asked");
        };
        assert_eq!(change.path, "/runs/1/cancel");
    }
}
