/** Hundreds of crashes for each node that writes; the quick tests have some dozens. */
import { crashContract, type Build } from '../testing/contract.ts'
import { dedupBuilder, mirrorBuilder, rawBuilder, stripeBuilder, tierBuilder } from './testing/builders.ts'

const NODES: Readonly<Record<string, Build>> = {
  'raw': rawBuilder(true),
  'stripe': stripeBuilder(3, 4096),
  'mirror': mirrorBuilder('zeroes'),
  'dedup of 4096': dedupBuilder(4096, 4),
  'dedup of 65536': dedupBuilder(65536, 64),
  'tier': tierBuilder(3),
}
const SEEDS = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20]

for (const [name, build] of Object.entries(NODES)) crashContract(name, build, { size: 3 << 18, crashes: 40 }, SEEDS)
