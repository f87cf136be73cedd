import { makeDeb } from '../../testing/fake-archive.ts'
import type { FakeFile } from '../../testing/fake-archive.ts'
import { contentOf } from '../../tree/content.ts'
import type { FileContent } from '../../tree/content.ts'
import type { ContentSpool } from '../../tree/content-spool.ts'
import { FileTree } from '../../tree/file-tree.ts'
import { mergeUsr } from '../system-files.ts'
import { Unpacker } from '../unpack.ts'
import type { UnpackedPackage } from '../unpack.ts'
import { catalogueOf } from './catalogue.ts'

/** A package as a test says it: its file `control` is made from name and fields. */
export interface TestPackage {
  readonly name: string
  readonly fields?: readonly string[]
  readonly files?: readonly FakeFile[]
  readonly information?: Readonly<Record<string, string>>
}

export function controlOf({ name, fields = [] }: TestPackage): string {
  return `Package: ${name}\nVersion: 1\nArchitecture: amd64\nMaintainer: A <a@b>\n${fields.map(field => `${field}\n`).join('')}Description: a package\n of a test\n`
}

export function debOf(each: TestPackage): Uint8Array {
  return makeDeb(each.files ?? [], { control: controlOf(each), ...each.information })
}

/** Unpacks packages in their order into a tree whose /usr is merged. */
export async function unpackAll(packages: readonly TestPackage[]): Promise<{ tree: FileTree, unpacked: UnpackedPackage[] }> {
  const catalogue = await catalogueOf(packages.map(({ name, fields = [] }) => [`${name} 1`, ...fields].join('\n')).join('\n\n'))
  const tree = new FileTree()
  mergeUsr(tree)
  const unpacker = new Unpacker(tree, { add: async (data: Uint8Array): Promise<FileContent> => contentOf(data.slice()) } as unknown as ContentSpool)
  const unpacked: UnpackedPackage[] = []
  for (const each of packages) unpacked.push(await unpacker.unpack(catalogue.find(each.name)!, debOf(each)))
  return { tree, unpacked }
}
