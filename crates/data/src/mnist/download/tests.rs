use super::super::{FindMnist, Mnist, Source};
use super::*;
use crate::dataset::Dataset;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A server on this machine that answers one request after the other; it knows what it was asked for.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Starts a server. Its thread ends with the test's process.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let name = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/")[1..].to_string();
            log.lock().unwrap().push(name.clone());
            answer(&name, &mut stream);
        }
    });
    Server { url, asked }
}

fn send(stream: &mut TcpStream, status: &str, length: usize, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// What the servers serve under every name.
fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn good() -> Server {
    serve(|_, stream| send(stream, "200 OK", content().len(), &content()))
}

fn missing() -> Server {
    serve(|_, stream| send(stream, "404 Not Found", 0, &[]))
}

fn remote(servers: &[&Server], names: &[&str]) -> Remote {
    let sum = hex(&Sha256::digest(content()));
    Remote {
        mirrors: servers.iter().map(|server| server.url.clone()).collect(),
        files: names.iter().map(|name| (name.to_string(), sum.clone())).collect(),
        connect: Duration::from_secs(2),
        silence: Duration::from_millis(300),
        file: Duration::from_secs(2),
    }
}

/// Fetches `a` and `b`; gives the result with what lies in the directory afterwards.
fn fetch(servers: &[&Server]) -> (Result<()>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let result = remote(servers, &["a", "b"]).fetch(directory.path(), &mut |_, _, _| ());
    (result, listing(directory.path()))
}

fn listing(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What `fetch` says of a server that gives the wrong thing; nothing must be left behind.
fn refused(server: Server) -> String {
    let (result, left) = fetch(&[&server]);
    assert_eq!(left, [""; 0]);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    let message = error.message().strip_prefix(&format!("a cannot be downloaded: {}a: ", server.url));
    message.unwrap_or_else(|| panic!("no address in {error}")).to_string()
}

#[test]
fn the_right_file_arrives_whole_and_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("new").join("place");
    let mut told = Vec::new();
    remote(&[&good()], &["a"])
        .fetch(&into, &mut |name, done, total| told.push((name.to_string(), done, total)))
        .unwrap();
    assert_eq!(fs::read(into.join("a")).unwrap(), content());
    assert_eq!(listing(&into), ["a"]);
    let total = content().len() as u64;
    assert_eq!(told.first(), Some(&("a".into(), 0, Some(total))));
    assert_eq!(told.last(), Some(&("a".into(), total, Some(total))));
    assert!(told.is_sorted_by_key(|(_, done, _)| *done) && told.len() > 2);
}

#[test]
fn what_is_there_already_is_not_fetched_again() {
    let (directory, server) = (tempfile::tempdir().unwrap(), good());
    fs::write(directory.path().join("a"), content()).unwrap();
    fs::write(directory.path().join("b"), "half a download").unwrap();
    remote(&[&server], &["a", "b"]).fetch(directory.path(), &mut |_, _, _| ()).unwrap();
    assert_eq!(*server.asked.lock().unwrap(), ["b"]);
    assert_eq!(fs::read(directory.path().join("b")).unwrap(), content());
}

#[test]
fn a_wrong_file_is_refused() {
    let said = refused(serve(|_, stream| send(stream, "200 OK", 5, b"login")));
    let sum = "428821350e9691491f616b754cd8315fb86d797ab35d843479e732ef90665324";
    assert!(said.starts_with("expected the SHA-256 sum ") && said.ends_with(" over 5 bytes"), "{said}");
    assert!(said.contains(&format!("found {sum}")), "{said}");
}

#[test]
fn a_cut_connection_is_an_error() {
    let said = refused(serve(|_, stream| send(stream, "200 OK", content().len(), &content()[..70_000])));
    assert!(said.starts_with("broke off after 70000 bytes: "), "{said}");
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let start = Instant::now();
    let said = refused(serve(|_, stream| {
        send(stream, "200 OK", content().len(), &content()[..1000]);
        std::thread::sleep(Duration::from_secs(5));
    }));
    assert!(said.contains("after 1000 bytes") && said.contains("timeout"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_trickles_is_given_up() {
    let start = Instant::now();
    let said = refused(serve(|_, stream| {
        send(stream, "200 OK", content().len(), &[]);
        while stream.write_all(&[0]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }));
    assert!(said.contains("timeout"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_status_that_is_no_success_is_an_error() {
    assert!(refused(missing()).contains("404"));
}

#[test]
fn the_next_mirror_steps_in_and_stays() {
    let (missing, good) = (missing(), good());
    let (result, left) = fetch(&[&missing, &good]);
    result.unwrap();
    assert_eq!(left, ["a", "b"]);
    assert_eq!(*missing.asked.lock().unwrap(), ["a"]);
    assert_eq!(*good.asked.lock().unwrap(), ["a", "b"]);
}

#[test]
fn every_mirror_that_failed_is_named() {
    let (one, other) = (missing(), missing());
    let error = fetch(&[&one, &other]).0.unwrap_err();
    assert!(error.message().contains(&one.url) && error.message().contains(&other.url), "{error}");
}

fn looking(cache: &Path, remote: Remote) -> FindMnist<'_> {
    let mut options = FindMnist::new().cache(cache);
    options.remote = remote;
    options
}

/// A machine without a network: nobody listens.
fn offline() -> Remote {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Remote { mirrors: vec![format!("http://{closed}/")], ..Remote::default() }
}

#[test]
fn find_without_a_network_fails_soon_or_draws() {
    let cache = tempfile::tempdir().unwrap();
    let find = || looking(cache.path(), offline());
    let start = Instant::now();
    let error = Mnist::find(find()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(error.message().contains("expected train-images-idx3-ubyte"), "{error}");
    assert!(error.message().contains("train-images-idx3-ubyte.gz cannot be downloaded: http://127.0.0.1"), "{error}");
    let drawn = Mnist::find(find().or_synthetic(0, 20, 10)).unwrap();
    assert!(matches!(drawn.source, Source::Synthetic { because } if because.contains("cannot be downloaded")));
}

#[test]
fn find_downloads_once_and_then_takes_the_cache() {
    let files = super::super::tests::small_mnist();
    let from = files.path().to_path_buf();
    let server = serve(move |name, stream| {
        let body = fs::read(from.join(name)).unwrap_or_default();
        send(stream, "200 OK", body.len(), &body);
    });
    let sum = |name: &String| (name.clone(), hex(&Sha256::digest(fs::read(files.path().join(name)).unwrap())));
    let remote = Remote {
        mirrors: vec![server.url.clone()],
        files: listing(files.path()).iter().map(sum).collect(),
        ..Remote::default()
    };
    let cache = tempfile::tempdir().unwrap();
    let mut fetched = Vec::new();
    let options = looking(cache.path(), remote.clone()).progress(|name, done, total| {
        if Some(done) == total {
            fetched.push(name.to_string());
        }
    });
    let mnist = Mnist::find(options).unwrap();
    assert_eq!((mnist.source, mnist.train.len()), (Source::Download(cache.path().to_path_buf()), 3));
    assert_eq!(fetched, listing(files.path()));
    let again = Mnist::find(looking(cache.path(), remote)).unwrap();
    assert_eq!(again.source, Source::Cache(cache.path().to_path_buf()));
    assert_eq!(server.asked.lock().unwrap().len(), 4);
}
