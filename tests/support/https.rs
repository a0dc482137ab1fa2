//! A web server that has a text for each host and path, over TLS or without; and what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificate::Certificate;

pub struct Https {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// By host and path, such as `a.example/b`: status, media type, text.
    pages: BTreeMap<String, (u16, &'static str, String)>,
    /// Each as `a.example/b` and the body of the request.
    asked: Vec<(String, String)>,
}

impl Https {
    /// Answers until the test is over; without a certificate in the clear.
    pub fn start(address: SocketAddr, certificate: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let config = certificate.map(config);
        let known = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, known) = (config.clone(), Arc::clone(&known));
                // A client that does not trust us goes away in the midst of it.
                thread::spawn(move || drop(serve(stream, config, &known)));
            }
        });
        Self { address, shared }
    }

    pub fn put(&self, page: &str, status: u16, media_type: &'static str, text: &str) {
        self.shared.lock().expect("held by none").pages.insert(page.to_owned(), (status, media_type, text.to_owned()));
    }

    /// How often that page was asked for.
    pub fn asked(&self, page: &str) -> usize {
        self.shared.lock().expect("held by none").asked.iter().filter(|(asked, _)| asked == page).count()
    }

    /// The bodies of the requests for that page.
    pub fn posted(&self, page: &str) -> Vec<String> {
        let shared = self.shared.lock().expect("held by none");
        shared.asked.iter().filter(|(asked, _)| asked == page).map(|(_, body)| body.clone()).collect()
    }
}

fn config(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&certificate.chain).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("TLS").with_no_client_auth().with_single_cert(chain, key);
    Arc::new(config.expect("a certificate and its key"))
}

fn serve(stream: TcpStream, config: Option<Arc<ServerConfig>>, shared: &Mutex<Shared>) -> std::io::Result<()> {
    match config {
        None => answer(stream, shared),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            answer(StreamOwned::new(connection, stream), shared)
        }
    }
}

fn answer(stream: impl Read + Write, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut host, mut length) = (String::new(), 0);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "host" => host = value.rsplit_once(':').map_or(value, |(host, _)| host).to_owned(),
            "content-length" => length = value.parse().map_err(std::io::Error::other)?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let page = host + &path;
    let (status, media_type, text) = {
        let mut shared = shared.lock().expect("held by none");
        shared.asked.push((page.clone(), String::from_utf8_lossy(&body).into_owned()));
        shared.pages.get(&page).cloned().unwrap_or((404, "text/plain", String::new()))
    };
    let length = text.len();
    let head = format!("HTTP/1.1 {status} so\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n");
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
