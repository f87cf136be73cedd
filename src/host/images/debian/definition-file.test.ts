import { expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import { builtInDefinition, parseDefinition, readDefinitionFile } from './definition-file.ts'
import { DEBIAN_IMAGE_NAMES } from './names.ts'

const good = `name: web
sources:
  - suite: bookworm
    mirrors: [http://mirror/debian]
kernel: linux-image-cloud-amd64
packages: [nginx]
disk:
  size: 2 GiB
hostname: web
users:
  - name: anna
`

async function problem(text: string): Promise<string> {
  return parseDefinition(text, 'web.yaml').then(() => 'none', (error: { code: string, message: string }) => `${error.code} ${error.message}`)
}

test('reads a definition, with defaults', async () => {
  const definition = await parseDefinition(good, 'web.yaml')
  expect(definition).toMatchObject({ base: 'required', disk: { size: 2 * 1024 ** 3 }, rootPassword: 'locked', files: [], sources: [{ components: ['main'] }] })
  expect(definition.users).toEqual([{ name: 'anna', groups: [], shell: '/bin/bash', password: 'locked', sshKeys: [] }])
})

test.each(DEBIAN_IMAGE_NAMES)('the built-in %s is one', async name => {
  expect((await builtInDefinition(name)).name).toBe(name)
})

test.each([
  ['an unknown field', good.replace('packages:', 'package:'), /web\.yaml:6: package: there is no such field; there are name, .*packages/],
  ['an unknown inner field', good.replace('- name: anna', '- name: anna\n    grups: [sudo]'), /web\.yaml:12: users\[0\]\.grups: there is no such field; there are name, groups/],
  ['a wrong name', good.replace('[nginx]', '[nginx,\n  "Apache 2"]'), /web\.yaml:7: packages\[1\]: is no name of a package/],
  ['a wrong size', good.replace('2 GiB', '2 gigs'), /web\.yaml:8: disk\.size: is no size/],
  ['a small size', good.replace('2 GiB', '2 MiB'), /web\.yaml:8: disk\.size: is no size/],
  ['a missing field', good.replace('hostname: web\n', ''), /web\.yaml:1: hostname: /],
  ['a missing inner field', good.replace('    mirrors: [http://mirror/debian]\n', ''), /web\.yaml:3: sources\[0\]\.mirrors: /],
  ['a password in clear', `${good}rootPassword: secret\n`, /web\.yaml:12: rootPassword: /],
  ['a path that climbs', `${good}files:\n  - path: /a/../../b\n    content: x\n`, /web\.yaml:13: files\[0\]\.path: is no absolute path/],
  ['a mode that YAML takes for a number', `${good}files:\n  - path: /a\n    content: x\n    mode: 0644\n`, /web\.yaml:15: files\[0\]\.mode: /],
  ['a command of two lines', `${good}firstBoot:\n  - "a\\nb"\n`, /web\.yaml:13: firstBoot\[0\]: must be one line/],
  ['a field twice', `${good}name: x\n`, /web\.yaml:12: /],
  ['no YAML', 'a: [', /web\.yaml:1: /],
  ['an empty file', '', /web\.yaml:1: the file: /],
  ['a list', '- a\n', /web\.yaml:1: the file: /],
  ['aliases that multiply', `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n`, /web\.yaml: .*alias/],
])('names file, line and field of %s', async (_, text, pattern) => {
  expect(await problem(text)).toMatch(/^IMAGE_DEFINITION_INVALID /)
  expect(await problem(text)).toMatch(pattern)
})

test('random damage gives a definition or an error with a line, nothing else', async () => {
  const random = randomOf(3)
  for (let round = 0; round < 150; round++) {
    const at = random(good.length)
    const text = good.slice(0, at) + String.fromCharCode(10 + random(110)) + good.slice(at + random(4))
    expect(await problem(text)).toMatch(/^(none$|IMAGE_DEFINITION_INVALID web\.yaml(:\d+)?: )/)
  }
})

test('a file that cannot be read, and an image that there is not', async () => {
  await expect(readDefinitionFile('/nowhere/x.yaml')).rejects.toEqual(expect.objectContaining({ code: 'FILE_UNREADABLE' }))
  await expect(builtInDefinition('debian:11')).rejects.toEqual(expect.objectContaining({ code: 'IMAGE_UNKNOWN' }))
})
