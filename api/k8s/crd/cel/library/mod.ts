/** Everything that a rule may call. */
import { type FunctionTable, functionTable } from "../functions.ts";
import { addressFunctions } from "./addresses.ts";
import { formatFunctions } from "./formats.ts";
import { listFunctions } from "./lists.ts";
import { optionalFunctions } from "./optionals.ts";
import { quantityFunctions } from "./quantity.ts";
import { regexFunctions } from "./regex.ts";
import { standardFunctions, standardOperators } from "./standard.ts";
import { stringFunctions } from "./strings.ts";
import { timeFunctions } from "./time.ts";
import { urlFunctions } from "./url.ts";

export function allFunctions(): FunctionTable {
  return functionTable(
    standardOperators(),
    standardFunctions(),
    timeFunctions(),
    optionalFunctions(),
    stringFunctions(),
    regexFunctions(),
    listFunctions(),
    urlFunctions(),
    addressFunctions(),
    quantityFunctions(),
    formatFunctions(),
  );
}
