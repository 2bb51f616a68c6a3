# Sourced. find_node DIR prints the pinned Node binary of the package at DIR: in its own
# node_modules (a clone) or beside it (npm install -g hoists). Fails when there is none.
find_node() {
  case $(uname -m) in
    x86_64) set -- "$1" x64 ;;
    aarch64 | arm64) set -- "$1" arm64 ;;
    *) return 1 ;;
  esac
  for candidate in "$1/node_modules/node-linux-$2/bin/node" "$1/../node-linux-$2/bin/node"; do
    if [ -x "$candidate" ]; then echo "$candidate"; return 0; fi
  done
  return 1
}
