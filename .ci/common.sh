# What both circles of CI share; sourced by .ci/run and .ci/nightly, from the top of the checkout.
export CI=true
# Where a person may skip what the machine lacks, CI installs it; elsewhere than on Debian it has to be there.
install_packages() { # install_packages [FURTHER PACKAGE …]
  command -v dpkg-query >/dev/null || return 0
  local missing=() package as_root=()
  for package in make elixir erlang-jiffy chromium chromium-driver libfaketime python3-venv "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  ((EUID)) && as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The Pythons that the locks are for, as "3.13 /the/folder/of/it", oldest first.
pythons() { "$(command -v python3.11 || command -v python3)" .ci/pythons.py; }

# tox run on one Python: on_python "3.13 /its/folder" [ARGUMENT …]. uv looks for it on the PATH.
on_python() {
  local version=${1%% *} folder=${1#* }
  PATH="$folder:$PATH" .venv/bin/python .ci/checks.py -e "py${version/./}" "${@:2}"
}

# The runners' own closing lines once more, where nobody has to scroll for them. A run without any tested nothing.
summaries() { grep -aE '^([0-9]+ (doctests?|tests?|propert(y|ies)),? .*failures?|=+ .*(passed|failed|error).* =+)' "$1"; }
