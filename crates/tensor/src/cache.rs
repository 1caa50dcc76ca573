//! Where the user's files that can be had again are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder of this name in the user's cache: in `$WGRAD_CACHE` where that variable is set, else in `wgrad` in the
/// system's usual place, `$XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`, `%LOCALAPPDATA%`. `None` where there is none.
pub fn directory(name: &str) -> Option<PathBuf> {
    directory_by(|variable| std::env::var_os(variable), name)
}

fn directory_by(variable: impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    // An empty or relative path would scatter files over the directories that a program happens to run in.
    let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(cache) = variable("WGRAD_CACHE").filter(|path| !path.is_empty()) {
        return Some(Path::new(&cache).join(name));
    }
    let caches = if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        path("HOME").map(|home| home.join("Library/Caches"))
    } else {
        path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))
    };
    caches.map(|caches| caches.join("wgrad").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        directory_by(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()), "mnist")
    }

    #[test]
    fn the_environment_names_the_cache() {
        assert_eq!(with(&[("WGRAD_CACHE", "here"), ("HOME", "/home/ada")]), Some(Path::new("here").join("mnist")));
        assert_eq!(with(&[]), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_cache_is_where_linux_has_it() {
        let home = ("HOME", "/home/ada");
        assert_eq!(with(&[home]), Some("/home/ada/.cache/wgrad/mnist".into()));
        assert_eq!(with(&[home, ("XDG_CACHE_HOME", "/fast")]), Some("/fast/wgrad/mnist".into()));
        assert_eq!(with(&[home, ("XDG_CACHE_HOME", "relative")]), Some("/home/ada/.cache/wgrad/mnist".into()));
        assert_eq!(with(&[home, ("WGRAD_CACHE", "")]), Some("/home/ada/.cache/wgrad/mnist".into()));
    }
}
