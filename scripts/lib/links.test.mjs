import { describe, expect, it } from 'vitest'
import { brokenLinks, targetsOf } from './links.mjs'

describe('the targets of a page', () => {
  it('are its relative links, from its own folder', () => {
    const text = '[a](b.md) and ![c](../images/c.svg) and [d](e/#part) and <img src="f.svg"> and [g](../../src/)'
    expect(targetsOf(text, 'docs/how-to')).toEqual(['docs/how-to/b.md', 'docs/images/c.svg', 'docs/how-to/e', 'docs/how-to/f.svg', 'src'])
  })

  it('are paths from the root in backticks', () => {
    expect(targetsOf('`src/cpu/isa/` holds `src/cpu/isa/row.ts`, `row()`, `src/**/*.ts` and `npm start`', 'docs')).toEqual(['src/cpu/isa', 'src/cpu/isa/row.ts'])
  })

  it('are no addresses, no parts of the page itself, and nothing in code', () => {
    expect(targetsOf('[a](https://x.org/y) [b](#c) [d](mailto:e@f.org) `[g](h)`\n\n```md\n[i](j.md) `src/k`\n```\n', '.')).toEqual([])
  })
})

describe('broken links', () => {
  it('are named with their page', () => {
    const pages = new Map([['README.md', '[a](docs/a.md) [b](docs/b.md)'], ['docs/a.md', '`src/b.ts` [c](../../c)']])
    expect(brokenLinks(pages, path => path === 'docs/a.md' || path === '../c')).toEqual([
      'README.md: there is no docs/b.md', 'docs/a.md: there is no ../c', 'docs/a.md: there is no src/b.ts',
    ])
  })
})
