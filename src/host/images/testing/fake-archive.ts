import { gzipSync } from 'node:zlib'
import { generateKey, readPrivateKey, sign, createCleartextMessage } from 'openpgp'
import { sha256Of } from '../archive/client.ts'

/** Makes small Debian archives for tests: tar, ar, packages, a signed index. */
export interface FakeFile {
  readonly path: string
  readonly data?: Uint8Array
  readonly type?: string
  readonly linkTarget?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly modified?: number
}

const BLOCK = 512

export function makeTar(files: readonly FakeFile[]): Uint8Array {
  return Buffer.concat([...files.flatMap(makeTarEntry), new Uint8Array(2 * BLOCK)])
}

function makeTarEntry({ path, data = new Uint8Array(0), type = '0', linkTarget = '', mode = 0o644, uid = 0, gid = 0, modified = 0 }: FakeFile): Uint8Array[] {
  const header = Buffer.alloc(BLOCK)
  header.write(path.slice(0, 100), 0)
  const octal = (value: number, at: number, length: number): void => void header.write(value.toString(8).padStart(length, '0'), at)
  octal(mode, 100, 7)
  octal(uid, 108, 7)
  octal(gid, 116, 7)
  octal(modified, 136, 11)
  header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124)
  header.fill(' ', 148, 156)
  header.write(type, 156)
  header.write(linkTarget, 157)
  header.write('ustar\x0000', 257)
  header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148)
  return [header, data, new Uint8Array((BLOCK - data.length % BLOCK) % BLOCK)]
}

export function makeAr(members: readonly { readonly name: string, readonly data: Uint8Array }[]): Uint8Array {
  const pieces = members.flatMap(({ name, data }) => [
    Buffer.from(`${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(data.length).padEnd(10)}\`\n`),
    data,
    Buffer.alloc(data.length & 1, '\n'),
  ])
  return Buffer.concat([Buffer.from('!<arch>\n'), ...pieces])
}

/** `control` is what the package tells about itself, by name of the file. */
export function makeDeb(files: readonly FakeFile[], control: Readonly<Record<string, string>> = {}): Uint8Array {
  const information = Object.entries(control).map(([path, text]) => ({ path: `./${path}`, data: Buffer.from(text) }))
  return makeAr([
    { name: 'debian-binary', data: Buffer.from('2.0\n') },
    { name: 'control.tar.gz', data: gzipSync(makeTar(information)) },
    { name: 'data.tar.gz', data: gzipSync(makeTar(files)) },
  ])
}

export interface FakeKey {
  readonly publicKey: string
  readonly privateKey: string
}

export function makeKey(): Promise<FakeKey> {
  return generateKey({ userIDs: [{ name: 'A test archive' }], format: 'armored', date: new Date(Date.now() - 3_600_000) })
}

export async function signRelease(text: string, { privateKey }: FakeKey): Promise<string> {
  const signingKeys = await readPrivateKey({ armoredKey: privateKey })
  return sign({ message: await createCleartextMessage({ text }), signingKeys })
}

export interface FakePackage {
  readonly name: string
  readonly version: string
  readonly depends?: string
  readonly deb: Uint8Array
}

/** All files of an archive, by path relative to the mirror. */
export async function makeArchive(packages: readonly FakePackage[], key: FakeKey, fields = ''): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  const stanzas = packages.map(({ name, version, depends, deb }) => {
    const filename = `pool/main/${name}_${version}_amd64.deb`
    files.set(filename, deb)
    return `Package: ${name}\nVersion: ${version}\n${depends === undefined ? '' : `Depends: ${depends}\n`}Filename: ${filename}\n`
      + `Size: ${deb.length}\nSHA256: ${sha256Of(deb)}\n`
  })
  const index = Buffer.from(stanzas.join('\n'))
  const zipped = gzipSync(index)
  files.set('dists/bookworm/main/binary-amd64/Packages.gz', zipped)
  const digests = [['', index], ['.gz', zipped]] as const
  const release = `Codename: bookworm\nDate: ${new Date().toUTCString()}\n${fields}SHA256:\n`
    + digests.map(([ending, bytes]) => ` ${sha256Of(bytes)} ${bytes.length} main/binary-amd64/Packages${ending}\n`).join('')
  files.set('dists/bookworm/InRelease', Buffer.from(await signRelease(release, key)))
  return files
}

/** An ELF-64 file with a `.modinfo` section alone. */
export function makeModule(strings: readonly string[]): Uint8Array {
  const HEADER = 64
  const names = Buffer.from('\0.modinfo\0.shstrtab\0')
  const info = Buffer.from(strings.map(text => `${text}\0`).join(''))
  const table = HEADER + names.length + info.length
  const file = Buffer.alloc(table + 3 * 64)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  file.set(names, HEADER)
  file.set(info, HEADER + names.length)
  file.writeBigUInt64LE(BigInt(table), 0x28)
  file.writeUInt16LE(64, 0x3a)
  file.writeUInt16LE(3, 0x3c)
  file.writeUInt16LE(2, 0x3e)
  const sections = [{ name: 1, offset: HEADER + names.length, size: info.length }, { name: 10, offset: HEADER, size: names.length }]
  sections.forEach(({ name, offset, size }, index) => {
    const at = table + (index + 1) * 64
    file.writeUInt32LE(name, at)
    file.writeBigUInt64LE(BigInt(offset), at + 0x18)
    file.writeBigUInt64LE(BigInt(size), at + 0x20)
  })
  return file
}
