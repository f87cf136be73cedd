import { parseFields } from '../archive/release.ts'
import { contentOf } from '../tree/content.ts'
import { ROOT_OWNED } from '../tree/file-tree.ts'
import type { FileTree } from '../tree/file-tree.ts'
import { hostError } from '../../errors.ts'
import type { UnpackedPackage } from './unpack.ts'

/**
 * dpkg's database, as dpkg itself would have left it after `dpkg --unpack` of all packages, ready for `dpkg --configure --pending`
 * (deb-control(5), deb-triggers(5), and what dpkg 1.21 writes):
 *
 *     status                a stanza for each package: its control file, its state, its configuration files with their MD5
 *     info/format           `1`
 *     info/NAME.list        its paths; NAME is `name:architecture` for a package that can be there for several architectures
 *     info/NAME.postinst …  what the package tells about itself
 *     triggers/File         who is interested in which path
 *     triggers/TRIGGER      who is interested in a trigger with a name
 */
const FOLDER = 'var/lib/dpkg'
const EMPTY_FILES = ['available', 'diversions', 'lock', 'lock-frontend', 'statoverride', 'triggers/Lock', 'triggers/Unincorp']
const EMPTY_FOLDERS = ['alternatives', 'info', 'parts', 'triggers', 'updates']
/** Programs that dpkg runs. */
const SCRIPTS = new Set(['preinst', 'postinst', 'prerm', 'postrm', 'config'])

/** Writes it into the tree; `modified` is the time of all its files, in seconds since 1970. Throws TenonError ARCHIVE_FORMAT_INVALID. */
export function writeDpkgDatabase(tree: FileTree, packages: readonly UnpackedPackage[], modified: number): void {
  const write = (path: string, data: Uint8Array | string, permissions = 0o644): void => {
    tree.put(`${FOLDER}/${path}`, { ...ROOT_OWNED, kind: 'file', permissions, modified, content: contentOf(data) })
  }
  for (const folder of EMPTY_FOLDERS) tree.place(`${FOLDER}/${folder}/x`)
  for (const path of EMPTY_FILES) write(path, '', path.includes('ock') ? 0o640 : 0o644)
  write('status', packages.map(statusStanza).join('\n'))
  write('info/format', '1\n')
  for (const each of packages) {
    const name = informationName(each)
    write(`info/${name}.list`, [...each.paths].map(path => `${path}\n`).join(''))
    if (!each.information.has('md5sums') && each.digests.size > 0) write(`info/${name}.md5sums`, digestList(each))
    for (const [kind, data] of each.information) write(`info/${name}.${kind}`, data, SCRIPTS.has(kind) ? 0o755 : 0o644)
  }
  for (const [path, text] of triggerFiles(packages)) write(path, text)
}

function statusStanza(unpacked: UnpackedPackage): string {
  const [first, ...rest] = unpacked.control.trim().split('\n').filter(line => line.trim() !== '')
  const conffiles = configurationFiles(unpacked)
  const list = conffiles.length === 0 ? [] : ['Conffiles:', ...conffiles.map(({ path, digest }) => ` ${path} ${digest}`)]
  return `${[first, 'Status: install ok unpacked', ...rest, ...list].join('\n')}\n`
}

function configurationFiles({ information, digests }: UnpackedPackage): { path: string, digest: string }[] {
  const paths = textOf(information, 'conffiles').split('\n').map(line => line.trim()).filter(line => line.startsWith('/'))
  // One that the package lists, but does not have, is left to dpkg: it says so.
  return paths.flatMap(path => (digests.has(path) ? [{ path, digest: digests.get(path)! }] : []))
}

function digestList({ digests, information }: UnpackedPackage): string {
  const conffiles = new Set(textOf(information, 'conffiles').split('\n'))
  return [...digests].filter(([path]) => !conffiles.has(path)).map(([path, digest]) => `${digest}  ${path.slice(1)}\n`).join('')
}

/** A name with the architecture, where the package may be there for more than one. */
export function informationName({ package: { name }, control }: UnpackedPackage): string {
  const fields = parseFields(control)
  if (fields.get('Package') !== name) {
    throw hostError('ARCHIVE_FORMAT_INVALID', `the package ${name} calls itself ${JSON.stringify(fields.get('Package') ?? '')}: use another mirror`)
  }
  return fields.get('Multi-Arch') === 'same' ? `${name}:${fields.get('Architecture') ?? ''}` : name
}

const INTEREST = /^interest(?:-(await|noawait))?\s+(\S+)$/

function triggerFiles(packages: readonly UnpackedPackage[]): Map<string, string> {
  const files = new Map<string, string>()
  const add = (path: string, line: string): void => void files.set(path, `${files.get(path) ?? ''}${line}\n`)
  for (const unpacked of packages) {
    for (const line of textOf(unpacked.information, 'triggers').split('\n')) {
      const [, mode, trigger] = INTEREST.exec(line.replace(/#.*/, '').trim()) ?? []
      if (trigger === undefined) continue
      const who = `${informationName(unpacked)}${mode === 'noawait' ? '/noawait' : ''}`
      if (trigger.startsWith('/')) add('triggers/File', `${trigger} ${who}`)
      else if (/^[A-Za-z0-9][\w.+:-]*$/.test(trigger)) add(`triggers/${trigger}`, who)
    }
  }
  return files
}

function textOf(information: ReadonlyMap<string, Uint8Array>, name: string): string {
  return new TextDecoder().decode(information.get(name) ?? new Uint8Array(0))
}
