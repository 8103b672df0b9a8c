//! An export while the chain takes another branch, played by a node that is made of the specification's
//! examples.

use crate::home::Home;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

const PAGE: &str = include_str!("../../../../docs/spec/09-api.md");
/// What stands for the bytes of block 1.
const BLOCK: &str = "the bytes of a block";

/// An example of the specification.
fn example(mark: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("<!-- {mark} -->\n```json\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

/// The path of a request.
fn read_path(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    first.split(' ').nth(1).map(str::to_owned)
}

/// Answers requests as a node of height 1 whose tip is another one at the end of the first `branches`
/// exports; returns how many exports it saw, once nobody asks any more.
fn play(listener: &TcpListener, branches: usize) -> usize {
    let mut exports = 0;
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let Some(path) = read_path(&stream) else { continue };
        let body = match path.as_str() {
            "/v1/status" => example("GET /v1/status").to_owned(),
            "/v1/blocks/1/raw" => BLOCK.to_owned(),
            "/v1/blocks/1" => {
                exports += 1;
                let block = example("GET /v1/blocks/{block}");
                if exports > branches {
                    block.to_owned()
                } else {
                    block.replace("\"id\": \"000243", "\"id\": \"000999")
                }
            }
            _ => return exports,
        };
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    }
    exports
}

/// Exports from such a node; the exit status, what is told, and how often it was tried.
fn export(home: &Home, branches: usize) -> (serde_json::Value, i32, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let node = std::thread::spawn(move || play(&listener, branches));
    let (told, status) = home.json(&["export", "chain.blocks", "--node", &format!("http://{address}")]);
    write!(TcpStream::connect(address).unwrap(), "GET /end HTTP/1.1\r\n\r\n").unwrap();
    (told, status, node.join().unwrap())
}

#[test]
fn an_export_begins_again_where_the_chain_takes_another_branch() {
    let home = Home::new();
    let (told, status, exports) = export(&home, 2);
    assert_eq!((status, &told["blocks"], exports), (0, &1.into(), 3), "{told}");
    let bytes = std::fs::read(home.path("chain.blocks")).unwrap();
    assert_eq!(bytes.len(), 49 + 4 + BLOCK.len(), "one head and one block");
}

#[test]
fn a_chain_that_never_rests_is_not_exported_and_leaves_no_file() {
    let home = Home::new();
    let (told, status, exports) = export(&home, usize::MAX);
    assert_eq!((status, told["error"]["code"].as_str(), exports), (1, Some("chain-moves"), 5), "{told}");
    let names = std::fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("chain.blocks")));
}
