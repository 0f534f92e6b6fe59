# Sourced by the commands in this folder: installs Node 24 and the packages if they are missing, and says so.
# Puts the right node first in PATH and changes to the project's root.
set -eu
# A core file would hold conversations and passwords.
ulimit -c 0
cd "$(dirname "$0")/.."

say() { printf '%s\n' "afterword: $*" >&2; }

node_is_new() { # whether the given program is 24.12 or later (stable type stripping)
  "$1" -e '
    const [a, b] = process.versions.node.split(".").map(Number);
    process.exit(a > 24 || (a === 24 && b >= 12) ? 0 : 1)' 2>/dev/null
}

# npm trusts the system's certificates: behind a company proxy, its built-in list is not enough.
system_ca=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$system_ca" ]; then
  export NODE_EXTRA_CA_CERTS="$system_ca"
fi

if ! command -v npm >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    say 'no npm here; installing nodejs and npm with apt-get (about 30 s)'
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq -y --no-install-recommends install nodejs npm; } >/dev/null
  else
    say 'npm is missing: install any version of Node.js (it is used to install Node 24) and try again'
    exit 78
  fi
fi

if ! node_is_new node; then
  own=$PWD/.afterword/node
  if ! node_is_new "$own/node_modules/node/bin/node"; then
    version=$(node --version 2>/dev/null || echo '(none)')
    say "Node $version is too old; installing Node 24 in .afterword/node (10 to 20 s)"
    mkdir -p "$own"
    npm install --prefix "$own" --no-save --no-audit --no-fund --loglevel=error node@24 >&2
  fi
  PATH=$own/node_modules/node/bin:$PATH
  export PATH
fi

# npm records what it installed; if that record is older than the lock file, install again.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'installing packages (about 10 s)'
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
