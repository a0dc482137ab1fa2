//! What it takes to mirror an account of Dovecot's and to keep the copy so, beside mbsync, interimap and OfflineIMAP: each
//! has the same mail and the same changes, over the same line. After each pass both sides must hold what they should; how
//! often `syncd` waits for the server is judged, how long it takes is told, since a busy machine measures nothing.
//!
//! Little mail in the usual tests; the full run is `MAILTIDE_MIRROR=2000 MAILTIDE_MIRROR_RTT_MS=50 MAILTIDE_MIRROR_ROUNDS=5
//! cargo test --release --test interop contest -- --nocapture --test-threads=1`. OfflineIMAP, which takes minutes, is in its
//! first round only.

mod cost;
mod line;
mod mail;
mod maildir;
mod programs;
mod talk;

use std::time::Duration;

use cost::Cost;
use line::Line;
use mail::{Changes, Letter, Sizes};
use programs::{Ours, Program, Upstream};

use crate::support::dovecot::{Dovecot, Options};
use crate::support::proxy::Proxy;
use crate::support::random::Random;

struct Pass {
    name: &'static str,
    /// How often `syncd` may wait for the server, over all its connections: this does not grow with the mail or the folders.
    waits_max: u64,
}

const PASSES: [Pass; 5] = [
    Pass { name: "first mirror", waits_max: 10 },
    Pass { name: "nothing changed", waits_max: 3 },
    Pass { name: "flags changed there", waits_max: 4 },
    Pass { name: "new mail there", waits_max: 5 },
    Pass { name: "flags, moves, deletes made here offline", waits_max: 8 },
];

/// What may come down in a first mirror beside the mail, and a second time after a cut, as a part of the mail; and the
/// message that the cut comes into.
const MORE_MAX: f64 = 0.03;

struct Scale {
    messages: usize,
    folders: usize,
    new: usize,
    there: Changes,
    here: Changes,
    round_trip: Duration,
    rounds: usize,
    is_full: bool,
}

fn scale() -> Scale {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<usize>().expect("a number"));
    let full = variable("MAILTIDE_MIRROR");
    let messages = full.unwrap_or(60);
    let flags = (messages / 2).min(1000);
    let (moves, deletes) = ((messages / 10).min(200), (messages / 20).min(100));
    Scale {
        messages,
        folders: if full.is_some() { 20 } else { 5 },
        new: (messages / 10).min(200),
        there: Changes { flags, ..Changes::default() },
        here: Changes { flags, moves, deletes },
        // So long that a command of a pipeline is never later than the answer to the one before.
        round_trip: Duration::from_millis(variable("MAILTIDE_MIRROR_RTT_MS").unwrap_or(10) as u64),
        rounds: variable("MAILTIDE_MIRROR_ROUNDS").unwrap_or(1),
        is_full: full.is_some(),
    }
}

struct Field {
    server: Dovecot,
    proxy: Proxy,
    line: Line,
    scale: Scale,
    letters: Vec<Letter>,
}

impl Field {
    fn new(scale: Scale, sizes: Sizes) -> Option<Self> {
        let server = Dovecot::start(&Options::default())?;
        let proxy = Proxy::to(server.imap);
        let line = Line::to(proxy.address, scale.round_trip);
        let letters = mail::letters("first", scale.messages, sizes, scale.folders, &mut Random::new(1));
        Some(Self { server, proxy, line, scale, letters })
    }

    /// Where a user's mail is, and all of it.
    fn upstream<'a>(&'a self, user: &'a str) -> Upstream<'a> {
        mail::deliver(&mut self.server.login(user), &self.letters);
        Upstream { address: self.line.address, proxy: &self.proxy, user }
    }

    fn payload(&self) -> u64 {
        self.letters.iter().map(|letter| letter.bytes.len() as u64).sum()
    }
}

#[test]
fn an_account_is_mirrored_beside_mbsync_interimap_and_offlineimap() {
    let Some(field) = Field::new(scale(), Sizes::Usual) else { return };
    let mut costs: Vec<(&'static str, [Vec<Cost>; PASSES.len()])> = Vec::new();
    for round in 0..field.scale.rounds {
        let user = |name: &str| format!("{name}{round}");
        let (ours, mbsync, interimap, offlineimap) = (user("us"), user("mb"), user("ii"), user("oi"));
        let mut programs: Vec<(&str, Box<dyn Program + '_>)> =
            vec![(&ours, Box::new(Ours::new(field.upstream(&ours))))];
        programs.extend(programs::mbsync(field.upstream(&mbsync)).map(|program| (mbsync.as_str(), program)));
        if field.scale.is_full {
            programs.extend(programs::interimap(field.upstream(&interimap)).map(|it| (interimap.as_str(), it)));
        }
        if field.scale.is_full && round == 0 {
            programs.extend(programs::offlineimap(field.upstream(&offlineimap)).map(|it| (offlineimap.as_str(), it)));
        }
        for (user, mut program) in programs {
            let passes = go(&field, program.as_mut(), user);
            let place = costs.iter().position(|(name, _)| *name == program.name()).unwrap_or_else(|| {
                costs.push((program.name(), Default::default()));
                costs.len() - 1
            });
            for (all, cost) in costs[place].1.iter_mut().zip(passes) {
                all.push(cost);
            }
        }
    }
    report(&field, &costs);
    // Without a round trip there is no telling what was waited for.
    let judged = !field.scale.round_trip.is_zero();
    for (pass, costs) in PASSES.iter().zip(&costs[0].1).filter(|_| judged) {
        for Cost { traffic, .. } in costs {
            assert!(traffic.waits <= pass.waits_max, "{}: {} waits", pass.name, traffic.waits);
        }
    }
}

/// All passes of one program. The changes are the same for all, in each round.
fn go(field: &Field, program: &mut dyn Program, user: &str) -> [Cost; PASSES.len()] {
    let Field { server, line, scale, letters, .. } = field;
    let mut random = Random::new(2);
    let mut wanted = mail::Held::new();
    mail::add(&mut wanted, letters);
    let pass = |program: &mut dyn Program, name: &str, wanted: &mail::Held| {
        let cost = cost::of_pass(program, line);
        let sides = [("the server", mail::held(&mut server.login(user))), (program.name(), program.held())];
        for (side, held) in sides {
            assert!(held == *wanted, "{} has {name}, and {side}:\n{}", program.name(), mail::tell(&held, wanted));
        }
        cost
    };
    let first = pass(program, PASSES[0].name, &wanted);
    let nothing = pass(program, PASSES[1].name, &wanted);

    let changes = mail::draw(&wanted, scale.there, &mut random);
    mail::act(&mut server.login(user), &changes);
    mail::change(&mut wanted, &changes);
    let flags = pass(program, PASSES[2].name, &wanted);

    let new = mail::letters("new", scale.new, Sizes::Usual, scale.folders, &mut random);
    mail::deliver(&mut server.login(user), &new);
    mail::add(&mut wanted, &new);
    let new = pass(program, PASSES[3].name, &wanted);

    let changes = mail::draw(&wanted, scale.here, &mut random);
    program.act(&changes);
    mail::change(&mut wanted, &changes);
    let pushed = pass(program, PASSES[4].name, &wanted);
    [first, nothing, flags, new, pushed]
}

/// Medians, as a table in Markdown.
fn report(field: &Field, costs: &[(&'static str, [Vec<Cost>; PASSES.len()])]) {
    let Scale { messages, folders, new, there, here, round_trip, rounds, .. } = &field.scale;
    println!(
        "{messages} messages ({:.1} MB) in {folders} folders, then {} flags and {new} messages there, then {} flags, {} moves, \
         {} deletes here; round trip {round_trip:?}, medians of {rounds}:\n",
        field.payload() as f64 / 1e6,
        there.flags,
        here.flags,
        here.moves,
        here.deletes,
    );
    println!("| pass | program | seconds | CPU seconds | peak MB | waits | commands | KB up | KB down |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (number, pass) in PASSES.iter().enumerate() {
        for (row, (program, passes)) in costs.iter().enumerate() {
            let name = if row == 0 { pass.name } else { "" };
            let all = &passes[number];
            let median = |value: fn(&Cost) -> f64| {
                let mut values: Vec<f64> = all.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            println!(
                "| {name} | {program} | {:.2} | {:.2} | {:.0} | {} | {} | {} | {} |",
                median(|cost| cost.wall.as_secs_f64()),
                median(|cost| cost.processor.as_secs_f64()),
                median(|cost| cost.memory_kib as f64 / 1024.0),
                median(|cost| cost.traffic.waits as f64),
                median(|cost| cost.traffic.commands as f64),
                kilobytes(median(|cost| cost.traffic.bytes_up as f64)),
                kilobytes(median(|cost| cost.traffic.bytes_down as f64)),
            );
        }
    }
}

/// Three digits tell enough.
fn kilobytes(bytes: f64) -> String {
    let digits = if bytes < 100_000.0 { 1 } else { 0 };
    format!("{:.digits$}", bytes / 1e3)
}

#[test]
fn a_first_mirror_that_is_cut_at_half_fetches_hardly_more_than_there_is() {
    let mut scale = scale();
    // Of so little mail one large message would be most.
    let sizes = if scale.is_full { Sizes::Usual } else { Sizes::Small };
    scale.messages = scale.messages.max(200);
    let Some(field) = Field::new(scale, sizes) else { return };
    let mut ours = Ours::new(field.upstream("ann"));
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    field.proxy.cut_each_after(field.payload() / 2);
    let (_, cut) = cost::measure(&ours, &field.line, log.path());
    assert!(field.proxy.cuts() > 0, "it is cut");
    field.proxy.stop_cutting();
    let rest = cost::of_pass(&ours, &field.line);
    let (held, wanted) = (ours.held(), mail::held(&mut field.server.login("ann")));
    assert!(held == wanted, "{}", mail::tell(&held, &wanted));
    let came = (cut.traffic.bytes_down + rest.traffic.bytes_down) as f64;
    let payload = field.payload() as f64;
    println!("cut at half of the first mirror: {:.3} times the mail's bytes came down in all", came / payload);
    let largest = field.letters.iter().map(|letter| letter.bytes.len()).max().expect("some mail") as f64;
    assert!(came <= payload * (1.0 + MORE_MAX) + largest, "{came} bytes for {payload}");
}
