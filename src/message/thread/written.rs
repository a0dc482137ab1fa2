//! Threads as THREAD tells them (RFC 5256 section 5), in pieces.

use super::Forest;
use crate::types::limits;

/// `1*thread-list`, piece by piece.
#[derive(Debug)]
pub struct Written {
    forest: Forest,
    numbers: Vec<u32>,
    /// What is still to be written, the next of it last.
    rest: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// `thread-list = "(" (thread-members / thread-nested) ")"`
    List(usize),
    /// `thread-members = nz-number *(SP nz-number) [SP thread-nested]`, with the space before it.
    Members(usize),
    Close,
}

impl Written {
    /// `numbers` are those of the messages the threads were made of.
    pub fn new(mut forest: Forest, numbers: Vec<u32>) -> Self {
        let rest = std::mem::take(&mut forest.roots).into_iter().rev().map(Part::List).collect();
        Self { forest, numbers, rest }
    }

    fn write(&mut self, part: Part, piece: &mut String) {
        let place = match part {
            Part::Close => return piece.push(')'),
            Part::List(place) => {
                piece.push('(');
                self.rest.push(Part::Close);
                place
            }
            Part::Members(place) => {
                piece.push(' ');
                place
            }
        };
        let node = &self.forest.nodes[place];
        if let Some(message) = node.message {
            piece.push_str(&self.numbers[message].to_string());
        }
        match node.children[..] {
            [only] => self.rest.push(Part::Members(only)),
            [] => {}
            ref several => {
                // `thread-nested = 2*thread-list`
                if node.message.is_some() {
                    piece.push(' ');
                }
                self.rest.extend(several.iter().rev().map(|child| Part::List(*child)));
            }
        }
    }
}

impl Iterator for Written {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut piece = String::new();
        while piece.len() < limits::OUTPUT_CHUNK_BYTES
            && let Some(part) = self.rest.pop()
        {
            self.write(part, &mut piece);
        }
        Some(piece).filter(|piece| !piece.is_empty())
    }
}
