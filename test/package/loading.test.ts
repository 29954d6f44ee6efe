// Loads the built package in the ways that programs do.
import { runProgram } from '../support/programs';

const succeeds = (program: string): void => {
  expect(runProgram(program)).toEqual({ status: 0, signal: null, stdout: 'good\n', stderr: '' });
};

test('require and import share their classes', () => {
  succeeds(`
    const required = require('rdmavt');
    import('rdmavt').then((imported) => {
      const device = new imported.Device();
      const names = Object.keys(required).filter((name) => required[name] !== imported[name]);
      console.log(device instanceof required.Device && names.length === 0 ? 'good' : names);
    });`);
});

test('only the entry and package.json can be loaded', () => {
  succeeds(`
    require('rdmavt/package.json');
    try { require('rdmavt/dist/cli.js'); } catch (error) { console.log(error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED' ? 'good' : error); }`);
});

test('loading opens nothing that keeps a process alive', () => {
  succeeds(`require('rdmavt'); console.log('good');`);
});

test('a second copy of the package rejects objects of the first', () => {
  succeeds(`
    const one = require('rdmavt');
    for (const path of Object.keys(require.cache)) delete require.cache[path];
    const two = require('rdmavt');
    const make = ({ Device }) => {
      const pd = new Device().allocPd();
      const mr = pd.allocMr({ maxNumSg: 1 });
      return { pd, qp: pd.createQp(), mr, fmr: pd.allocFmr({ maxPages: 1 }) };
    };
    const [first, second] = [make(one), make(two)];
    const attempts = [
      () => two.FastMemoryRegion.unmap([first.fmr]),
      () => one.FastMemoryRegion.unmap([second.fmr]),
      () => second.qp.fastRegMr(first.mr, { key: first.mr.rkey, access: 0 }),
      () => new two.SgeState([first.pd.acquire({ addr: 0, length: 0, lkey: 1 }, 0)]),
    ];
    for (const attempt of attempts) {
      try { attempt(); console.log('taken'); } catch (error) { if (error.code !== 'ERR_INVALID_ARG_TYPE') throw error; }
    }
    one.FastMemoryRegion.unmap([first.fmr]);
    two.FastMemoryRegion.unmap([second.fmr]);
    console.log(one.Device === two.Device ? 'one copy only' : 'good');`);
});
