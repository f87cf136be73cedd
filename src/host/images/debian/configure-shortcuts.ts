/**
 * What takes packages' scripts most of their time in a new system, and has no effect there or is done once at the end. Measured where a
 * started program costs 50 ms: of seven minutes, Python's compiler took two, the list of certificates 80 seconds, the list of locales
 * 40, Perl that finds nothing to do a minute.
 *
 * - `dpkg-maintscript-helper` mends what older versions of a package have left.
 * - `deb-systemd-helper` is Perl: in a new system nothing is masked, and everything counts as having been enabled.
 * - `ssh-keygen` makes keys that must not be in an image.
 * - `update-ca-certificates` is run once, at the end. The certificates are out of the way until then, as they are when apt asks a
 *   package's questions: where they are there, its script looks for each in lists with several programs.
 * - Locales: without `SUPPORTED`, the package's script does not look for each in `/etc/locale.gen`; the same list is written at the end.
 * - Python: scripts compile all its modules. Root's Python compiles and keeps what it imports, so that only what cloud-init imports is
 *   compiled, at the end, for a first start that need not do it. `dpkg -L libpython…` tells scripts nothing to compile.
 *
 * POSIX sh. The folder `/run/tenon` is there, and first in PATH. What fails here, fails the build: the disk is thrown away.
 */
export const BEFORE_PACKAGES = `for name in dpkg-maintscript-helper ssh-keygen py3compile update-ca-certificates; do ln -s /bin/true "/run/tenon/$name"; done
cat > /run/tenon/deb-systemd-helper <<'END'
#!/bin/sh
for word; do
  case $word in unmask|was-enabled) exit 0 ;; esac
done
exec /usr/bin/deb-systemd-helper "$@"
END
cat > /run/tenon/dpkg <<'END'
#!/bin/sh
case "$1 $2" in "-L libpython3"*) exit 0 ;; esac
exec /usr/bin/dpkg "$@"
END
chmod 755 /run/tenon/deb-systemd-helper /run/tenon/dpkg
aside() { [ ! -e "$1" ] || mv "$1" "$1.tenon-aside" || fail "mv $1"; }
again() { [ ! -e "$1.tenon-aside" ] || mv "$1.tenon-aside" "$1" || fail "mv $1.tenon-aside"; }
aside /usr/share/ca-certificates
aside /usr/share/i18n/SUPPORTED
`

/** All modules of cloud-init that a start may import. One that cannot be imported is for another system. */
const IMPORT_CLOUD_INIT = `import glob, importlib, os
names = ["cmd.main", "distros.debian", "sources.DataSourceNoCloud", "sources.DataSourceConfigDrive", "sources.DataSourceNone"]
names += ["config." + os.path.basename(path)[:-3] for path in glob.glob("/usr/lib/python3/dist-packages/cloudinit/config/cc_*.py")]
for name in names:
  try: importlib.import_module("cloudinit." + name)
  except Exception: pass
`

export const AFTER_PACKAGES = `again /usr/share/ca-certificates
again /usr/share/i18n/SUPPORTED
if [ -f /etc/locale.gen ] && [ -f /usr/share/i18n/SUPPORTED ]; then
  sed -e '/^[a-zA-Z]/!d' -e 's/ *$//' -e 's/^/# /' /usr/share/i18n/SUPPORTED | sort -u >> /etc/locale.gen
fi
if [ -d /usr/lib/python3/dist-packages/cloudinit ]; then
  python3 - <<'END'
${IMPORT_CLOUD_INIT}END
fi
if [ -x /usr/sbin/update-ca-certificates ]; then
  /usr/sbin/update-ca-certificates || fail update-ca-certificates
fi
`
