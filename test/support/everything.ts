// One object of each class, for tests that pass wrong values to all of them.
import { SgeState } from '../../lib';
import { accepted } from './answers';
import { DMA, dmaPages, PAGE, scene } from './scene';

/** Creates one open object of each class. Arguments have the type `any`, as in JavaScript. */
export function everything() {
  const { device, pd, qp } = scene();
  dmaPages(device, 2);
  const mr = pd.regUserMr(Buffer.alloc(64), { access: 31 });
  const sg = pd.allocMr({ maxNumSg: 4 });
  const fmr = pd.allocFmr({ maxPages: 4, access: 31 });
  fmr.mapPhys([DMA], 0);
  const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 31));
  const mapping = device.dma.map(Buffer.alloc(8));
  const state = new SgeState([accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0))]);
  const block = device.allocDm(PAGE);
  return { device, pd, qp, mr, sg, fmr, sge, mapping, state, block };
}

export type Everything = ReturnType<typeof everything>;
export type Use = (objects: Everything, value: any) => unknown;

export const local = (change: object): any => ({ addr: 0, length: 0, lkey: 0, ...change });
export const remote = (change: object): any => ({ vaddr: 0, length: 0, rkey: 0, ...change });
export const region = (change: object): any => ({ key: 0, access: 0, ...change });
export const memory = Buffer.alloc(8);
