import { AFTER_PACKAGES, BEFORE_PACKAGES } from './configure-shortcuts.ts'
import { informationName } from './dpkg-database.ts'
import type { ImageDefinition } from './definition.ts'
import { shellWord } from './first-boot.ts'
import type { UnpackedPackage } from './unpack.ts'

/**
 * The first program of a guest whose packages are unpacked and not configured: it has dpkg run the packages' scripts, sets up users and
 * services, removes itself and powers off. POSIX sh, because a shell is all that is sure to work then.
 *
 * It tells its host how it stands by lines on the console that begin with `tenon-configure: `, see `configure-protocol.ts`; everything
 * else there is for a log.
 */
export const CONFIGURE_PATH = 'sbin/tenon-configure'

export function configureScript(definition: ImageDefinition, packages: readonly UnpackedPackage[]): string {
  return [HEAD, preinstSteps(packages), configureSteps(packages.length), AFTER_PACKAGES, userSteps(definition), serviceSteps(packages), TAIL].join('\n')
}

const HEAD = `#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root LC_ALL=C.UTF-8 TERM=dumb
DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true DEBCONF_NOWARNINGS=yes
# The kernel's package then has no initramfs made: its kernel needs none.
INITRD=No
export PATH HOME LC_ALL TERM DEBIAN_FRONTEND DEBCONF_NONINTERACTIVE_SEEN DEBCONF_NOWARNINGS INITRD

tell() { echo "tenon-configure: $*"; }
power_off() {
  kill -9 -1
  sync
  mount -o remount,ro /
  echo o > /proc/sysrq-trigger
  while :; do sleep 1; done
}
fail() {
  tell "failed $*"
  power_off
}

if [ "$1" != again ]; then
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  [ -c /dev/null ] || mount -t devtmpfs devtmpfs /dev
  mount -o remount,rw /
  mkdir -p /dev/pts
  mount -t devpts devpts /dev/pts
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock
  # From there it can remove its own file: one that is removed and open would keep the disk from being unmounted.
  cp "$0" /run/tenon-configure
  exec /run/tenon-configure again
fi
hostname -F /etc/hostname
mkdir /run/tenon
PATH=/run/tenon:$PATH
${BEFORE_PACKAGES}tell begin
`

/**
 * dpkg runs a package's preinst before it unpacks it. Here everything is unpacked, as far as a script can tell by nothing but itself:
 * they run in the order of their dependencies, and before any other script.
 */
function preinstSteps(packages: readonly UnpackedPackage[]): string {
  const lines = inDependencyOrder(packages).filter(({ information }) => information.has('preinst')).map(each => `preinst ${informationName(each)}`)
  return `export DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_ARCH=amd64 DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT=
preinst() {
  DPKG_MAINTSCRIPT_PACKAGE="\${1%:*}" "/var/lib/dpkg/info/$1.preinst" install || fail "the preinst of $1, with status $?"
}
${lines.join('\n')}
unset DPKG_MAINTSCRIPT_NAME DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT DPKG_MAINTSCRIPT_ARCH DPKG_ADMINDIR DPKG_ROOT
`
}

/** dpkg's status lines (dpkg(1), --status-fd) become ours; its exit status comes by a file, as sh has no other way out of a pipe. */
function configureSteps(total: number): string {
  return `{ { dpkg --force-unsafe-io --force-confold --status-fd 3 --configure -a 3>&1 >&4 2>&4; echo "$?" > /run/dpkg-status; } |
  {
    done=0
    while read -r _ name state _; do
      case "$name $state" in
        *": installed") [ "$done" = ${total} ] || done=$((done + 1)); tell "progress $done ${total} \${name%:}" ;;
      esac
    done
  }; } 4>&1
[ "$(cat /run/dpkg-status)" = 0 ] || fail 'dpkg --configure -a'
audit=$(dpkg --audit) || fail 'dpkg --audit'
[ -z "$audit" ] || fail "dpkg --audit: $audit"
`
}

function userSteps({ users, rootPassword, timezone }: ImageDefinition): string {
  const lines = users.flatMap(({ name, groups, shell, password, sshKeys }) => [
    `useradd -m -s ${shellWord(shell)}${groups.length === 0 ? '' : ` -G ${groups.join(',')}`} ${name} || fail 'useradd ${name}'`,
    ...password === 'locked' ? [] : [`printf '%s\\n' ${shellWord(`${name}:${password}`)} | chpasswd -e || fail 'the password of ${name}'`],
    ...sshKeys.length === 0 ? [] : sshKeySteps(name, sshKeys),
  ])
  const root = rootPassword === 'locked' ? [] : [`printf '%s\\n' ${shellWord(`root:${rootPassword}`)} | chpasswd -e || fail 'the password of root'`]
  const zone = timezone === 'Etc/UTC' ? [] : [
    `[ -f /usr/share/zoneinfo/${timezone} ] || fail 'the time zone ${timezone}: add tzdata to the packages, or see to its name'`,
    `ln -sf /usr/share/zoneinfo/${timezone} /etc/localtime`, `echo ${timezone} > /etc/timezone`,
  ]
  return [...lines, ...root, ...zone, ''].join('\n')
}

function sshKeySteps(name: string, keys: readonly string[]): string[] {
  return [
    `home=$(getent passwd ${name} | cut -d: -f6)`,
    `mkdir -m 700 "$home/.ssh" && printf '%s\\n' ${keys.map(shellWord).join(' ')} > "$home/.ssh/authorized_keys" || fail 'the keys of ${name}'`,
    `chmod 600 "$home/.ssh/authorized_keys" && chown -R ${name}: "$home/.ssh"`,
  ]
}

function serviceSteps(packages: readonly UnpackedPackage[]): string {
  const has = new Set(packages.map(each => each.package.name))
  if (!has.has('systemd')) return ''
  const network = has.has('ifupdown') ? [] : ['systemd-networkd.service']
  return `systemctl enable ${['tenon-first-boot.service', ...network].join(' ')} || fail 'systemctl enable'\n`
}

/** What each guest must have for itself is left out: it is made when the guest starts. */
const TAIL = `rm -f /usr/sbin/policy-rc.d /${CONFIGURE_PATH} /etc/ssh/ssh_host_*_key* /var/lib/systemd/random-seed /etc/.pwd.lock
rm -f /var/lib/dbus/machine-id /var/log/bootstrap.log /var/cache/debconf/*-old /var/lib/dpkg/*-old
[ ! -e /etc/machine-id ] || : > /etc/machine-id
tell done
power_off
`

/** What a package depends on comes before it; where there is a cycle, the first by name begins. */
function inDependencyOrder(packages: readonly UnpackedPackage[]): UnpackedPackage[] {
  const byName = new Map(packages.map(each => [each.package.name, each]))
  const seen = new Set<string>()
  const ordered: UnpackedPackage[] = []
  const visit = (each: UnpackedPackage): void => {
    if (seen.has(each.package.name)) return
    seen.add(each.package.name)
    const needed = [...each.package.relations('Pre-Depends'), ...each.package.relations('Depends')].flat()
    for (const { name } of needed) if (byName.has(name)) visit(byName.get(name)!)
    ordered.push(each)
  }
  for (const each of packages) visit(each)
  // The users that other scripts name come from it; it needs nothing but a shell.
  return ordered.sort((a, b) => Number(b.package.name === 'base-passwd') - Number(a.package.name === 'base-passwd'))
}
