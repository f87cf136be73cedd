import { createHash } from 'node:crypto'
import { contentOf } from '../tree/content.ts'
import { makeDirectory, ROOT_OWNED } from '../tree/file-tree.ts'
import type { FileTree } from '../tree/file-tree.ts'
import { CONFIGURE_PATH, configureScript } from './configure-script.ts'
import type { ImageDefinition, ImageSource } from './definition.ts'
import { FIRST_BOOT_UNIT, firstBootScript } from './first-boot.ts'
import { SHARE_GENERATOR, SHARE_GENERATOR_PATH } from './share-generator.ts'
import type { UnpackedPackage } from './unpack.ts'

/** The files of a guest that come from its image's definition and not from a package. */
interface SystemFile {
  readonly path: string
  readonly text: string
  readonly permissions?: number
}

/** Directories that /usr has taken over (Debian's UsrMerge): links in their place. */
const MERGED = ['bin', 'lib', 'lib32', 'lib64', 'libx32', 'sbin']
const POINTS_FOR_MOUNTS = ['dev', 'proc', 'run', 'sys']

/** To be called before anything is unpacked: packages with `/bin/…` then land in `/usr/bin/…`. */
export function mergeUsr(tree: FileTree): void {
  for (const name of MERGED) {
    tree.put(`usr/${name}`, makeDirectory())
    tree.put(name, { ...ROOT_OWNED, permissions: 0o777, kind: 'symlink', target: `usr/${name}` })
  }
  for (const name of POINTS_FOR_MOUNTS) tree.put(name, makeDirectory())
}

export interface SystemFileInputs {
  readonly definition: ImageDefinition
  readonly packages: readonly UnpackedPackage[]
  /** The file system's UUID. */
  readonly uuid: string
  /** The mirror that each source has answered from, in the definition's order. */
  readonly mirrors: readonly string[]
  /** Of all files, in seconds since 1970. */
  readonly modified: number
}

/** To be called after everything is unpacked: what a definition says takes precedence. Throws TenonError IMAGE_TREE_INVALID. */
export function writeSystemFiles(tree: FileTree, inputs: SystemFileInputs): void {
  const { definition, modified } = inputs
  for (const { path, text, permissions = 0o644 } of systemFiles(inputs)) {
    tree.put(path, { ...ROOT_OWNED, permissions, modified, kind: 'file', content: contentOf(text) })
  }
  for (const { path, content, mode, owner } of definition.files) {
    const [uid, gid] = owner.split(':').map(Number)
    tree.put(path, { permissions: parseInt(mode, 8), uid, gid, modified, kind: 'file', content: contentOf(content) })
  }
}

function systemFiles(inputs: SystemFileInputs): SystemFile[] {
  const { definition, packages, uuid, mirrors } = inputs
  const has = new Set(packages.map(each => each.package.name))
  return [
    { path: 'etc/hostname', text: `${definition.hostname}\n` },
    { path: 'etc/hosts', text: `127.0.0.1 localhost\n127.0.1.1 ${definition.hostname}\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n` },
    { path: 'etc/fstab', text: `UUID=${uuid} / ext4 defaults,x-systemd.growfs 0 1\n` },
    { path: 'etc/default/locale', text: 'LANG=C.UTF-8\n' },
    { path: CONFIGURE_PATH, text: configureScript(definition, packages), permissions: 0o755 },
    { path: 'usr/sbin/policy-rc.d', text: '#!/bin/sh\nexit 101\n', permissions: 0o755 },
    ...has.has('apt') ? aptFiles(definition.sources, mirrors, packages) : [],
    ...has.has('systemd') ? systemdFiles(definition, has) : [],
    ...has.has('cloud-init') ? [{ path: 'etc/cloud/cloud.cfg.d/90_tenon.cfg', text: CLOUD_CONFIGURATION }] : [],
  ]
}

function aptFiles(sources: readonly ImageSource[], mirrors: readonly string[], packages: readonly UnpackedPackage[]): SystemFile[] {
  // Without the package of certificates, the guest's apt can speak HTTP alone; signatures are checked all the same.
  const hasCertificates = packages.some(each => each.package.name === 'ca-certificates')
  const uri = (index: number): string => (hasCertificates ? mirrors[index] : mirrors[index].replace(/^https:/, 'http:'))
  const text = sources.map(({ suite, components }, index) => ['Types: deb', `URIs: ${uri(index)}`, `Suites: ${suite}`, `Components: ${components.join(' ')}`,
    'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg', ''].join('\n')).join('\n')
  return [{ path: 'etc/apt/sources.list.d/debian.sources', text }]
}

function systemdFiles(definition: ImageDefinition, has: ReadonlySet<string>): SystemFile[] {
  const autologin = definition.consoleLogin === undefined ? [] : [
    { path: 'etc/systemd/system/serial-getty@.service.d/10-login.conf', text: loginUnit(definition.consoleLogin, '--keep-baud 115200,57600,38400,9600 - $TERM') },
    { path: 'etc/systemd/system/getty@.service.d/10-login.conf', text: loginUnit(definition.consoleLogin, '- $TERM') },
  ]
  return [
    ...autologin,
    ...has.has('ifupdown') ? [] : [{ path: 'etc/systemd/network/80-dhcp.network', text: NETWORK }],
    { path: 'etc/systemd/system.conf.d/10-time-outs.conf', text: TIME_OUTS },
    { path: 'etc/systemd/system/systemd-networkd-wait-online.service.d/10-any.conf', text: WAIT_ONLINE },
    { path: 'etc/systemd/system/tenon-first-boot.service', text: FIRST_BOOT_UNIT },
    { path: SHARE_GENERATOR_PATH, text: SHARE_GENERATOR, permissions: 0o755 },
    { path: 'usr/lib/tenon/first-boot', text: firstBootScript(definition), permissions: 0o755 },
  ]
}

function loginUnit(user: string, rest: string): string {
  return `[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin ${user} --noclear ${rest}\n`
}

const NETWORK = `[Match]
Name=en* eth*

[Network]
DHCP=yes
IPv6AcceptRA=yes
`

/**
 * systemd gives up after 90 s by its own measure, which a guest on a busy host passes: without a console's device there would be no login.
 * systemd-system.conf(5); DefaultDeviceTimeoutSec= since version 252.
 */
const TIME_OUTS = `[Manager]
DefaultTimeoutStartSec=10min
DefaultDeviceTimeoutSec=10min
`

/** A guest without a network starts at once, and one interface that is up is enough. */
const WAIT_ONLINE = `[Unit]
ConditionPathExistsGlob=/sys/class/net/e*

[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30
`

/**
 * cloud-init looks for a seed (a disk labelled `cidata`), and does nothing where there is none: with one source in the list it would not
 * look. The disk is grown by systemd. Host keys are made by whoever comes first, and then stay.
 */
const CLOUD_CONFIGURATION = `datasource_list: [NoCloud, ConfigDrive, None]
apt:
  preserve_sources_list: true
growpart:
  mode: "off"
resize_rootfs: false
ssh_deletekeys: false
`

/** A UUID (RFC 9562 §5.8) that follows from `parts`: the same image has the same. */
export function uuidOf(...parts: readonly string[]): string {
  const bytes = createHash('sha256').update(parts.join('\0')).digest()
  bytes[6] = bytes[6] & 0x0f | 0x80
  bytes[8] = bytes[8] & 0x3f | 0x80
  return bytes.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
