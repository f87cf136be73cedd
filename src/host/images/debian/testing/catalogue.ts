import { Catalogue } from '../catalogue.ts'

/** A catalogue of packages as text: `name version`, then fields, one a line; packages are separated by an empty line. */
export async function catalogueOf(text: string): Promise<Catalogue> {
  const catalogue = new Catalogue()
  const stanzas = text.trim().split('\n\n').map(stanza => stanza.trim().split('\n').map(line => line.trim()))
  const index = stanzas.map(([head, ...fields]) => {
    const [name, version = '1'] = head.split(' ')
    return [`Package: ${name}`, `Version: ${version}`, 'Architecture: amd64', ...fields, `Filename: pool/${name}.deb`, 'Size: 1', `SHA256: ${'0f'.repeat(32)}`].join('\n')
  }).join('\n\n')
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < index.length; at += 50) yield Buffer.from(index.slice(at, at + 50))
  }
  await catalogue.add(pieces(), 0)
  return catalogue
}
