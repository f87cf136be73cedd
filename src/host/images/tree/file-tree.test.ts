import { expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import { contentOf } from './content.ts'
import { listTree } from './entries.ts'
import { FileTree, makeDirectory, ROOT_OWNED } from './file-tree.ts'
import type { FileNode, TreeNode } from './file-tree.ts'

const invalid = expect.objectContaining({ code: 'IMAGE_TREE_INVALID' })
const file = (text = ''): FileNode => ({ ...ROOT_OWNED, kind: 'file', content: contentOf(text) })
const link = (target: string): TreeNode => ({ ...ROOT_OWNED, kind: 'symlink', target })

function paths(tree: FileTree): string[] {
  return [...listTree(tree)].map(({ path }) => path)
}

test('makes directories on the way, and lists parents first, in order', () => {
  const tree = new FileTree()
  tree.put('b/c', file())
  tree.put('/a', file())
  tree.put('./b//d/e', file())
  expect(paths(tree)).toEqual(['', 'a', 'b', 'b/c', 'b/d', 'b/d/e'])
})

test('follows links of directories inside the tree, whatever they say', () => {
  const tree = new FileTree()
  tree.put('usr/bin', makeDirectory())
  tree.put('bin', link('usr/bin'))
  tree.put('up', link('../../../usr'))
  tree.put('usr/root', link('/'))
  tree.put('bin/sh', file())
  tree.put('up/x', file())
  tree.put('usr/root/usr/root/y', file())
  expect(tree.place('bin/sh').path).toBe('usr/bin/sh')
  expect(paths(tree)).toEqual(['', 'bin', 'up', 'usr', 'usr/bin', 'usr/bin/sh', 'usr/root', 'usr/x', 'y'])
  expect(tree.findDirectory('bin')).toBe(tree.find('usr/bin'))
  expect(tree.find('bin')!.kind).toBe('symlink')
})

test('a file with two names is a link to the first', () => {
  const tree = new FileTree()
  const node = file('x')
  tree.put('b', node)
  tree.put('a', node)
  expect([...listTree(tree)].slice(1)).toEqual([{ ...node, path: 'a' }, { ...ROOT_OWNED, kind: 'hardlink', path: 'b', target: 'a' }])
})

test.each([
  ['a cycle of links', 'loop/x'], ['a file as a directory', 'file/x'], ['no name', '/'], ['a name that is ..', 'a/..'], ['a name that is too long', 'n'.repeat(256)],
  ['a directory that is too long', `${'é'.repeat(128)}/x`], ['a NUL', 'a\0b'], ['too many directories', `${'a/'.repeat(600)}x`], ['a link that grows', 'grow/x'],
])('rejects %s', (_, path) => {
  const tree = new FileTree()
  tree.put('loop', link('loop2'))
  tree.put('loop2', link('loop'))
  tree.put('file', file())
  tree.put('grow', link(`${'d/../'.repeat(400)}grow`))
  expect(() => tree.put(path, file())).toThrow(invalid)
})

test('random paths and links stay in the tree, or are rejected', () => {
  const random = randomOf(5)
  const words = ['a', 'b', '..', '.', '', 'c', '/', '../..', '/a/b', 'a/../b']
  const path = (): string => Array.from({ length: 1 + random(5) }, () => words[random(words.length)]).join('/')
  const tree = new FileTree()
  for (let round = 0; round < 2000; round++) {
    const node = [file(), link(path()), makeDirectory()][random(3)]
    try {
      const there = tree.find(path())
      if (there?.kind !== 'directory') tree.put(path(), node)
    } catch (error) {
      expect(error).toEqual(invalid)
    }
  }
  for (const name of paths(tree)) expect(name.split('/')).not.toContain('..')
})
