// Prints the Debian packages that `npm run test:rxe` needs and that are not installed here, one a line. Nothing where it cannot run.
import { isDebian, missingPackages } from './machine-needs.mjs';

if (isDebian()) for (const name of missingPackages()) console.log(name);
