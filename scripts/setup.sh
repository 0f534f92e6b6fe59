# Sourced by the commands in this folder: brings Node 24 and the packages if they are missing, and says so.
# Leaves PATH with the right node in front and the working directory at the project's root.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "afterword: $*" >&2; }

node_is_new() { # the program given, or the one in PATH: 24.12 or later (stable type stripping)
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 24 || (a === 24 && b >= 12) ? 0 : 1)' 2>/dev/null
}

# npm trusts what the system trusts: behind a company's proxy its own list of authorities is not enough.
system_ca=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$system_ca" ]; then
  export NODE_EXTRA_CA_CERTS="$system_ca"
fi

if ! command -v npm >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    say 'no npm here; installing nodejs and npm with apt-get (about 30 s)'
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install nodejs npm; } >/dev/null
  else
    say 'npm is missing: install Node.js (any version brings what is needed; 24 is used) and try again'
    exit 78
  fi
fi

if ! node_is_new node; then
  own=$PWD/.afterword/node
  if ! node_is_new "$own/node_modules/node/bin/node"; then
    say "Node $(node --version 2>/dev/null || echo '(none)') is too old; bringing Node 24 into .afterword/node (10 to 20 s)"
    mkdir -p "$own"
    npm install --prefix "$own" --no-save --no-audit --no-fund --loglevel=error node@24 >&2
  fi
  PATH=$own/node_modules/node/bin:$PATH
  export PATH
fi

# npm notes what it installed; older than the lock file means: install again.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'installing packages (about 10 s)'
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
